"""`python -m talkinghead.stages.load_frames`: the same as `talkinghead stage load-frames`."""

import sys

from talkinghead.stages.launch import launch

if __name__ == "__main__":
    sys.exit(launch(__file__))
