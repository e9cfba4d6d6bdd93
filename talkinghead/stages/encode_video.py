"""`python -m talkinghead.stages.encode_video`: the same as `talkinghead stage encode-video`."""

import sys

from talkinghead.stages.launch import launch

if __name__ == "__main__":
    sys.exit(launch(__file__))
