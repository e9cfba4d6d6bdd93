"""`python -m talkinghead.stages.extract_mel`: the same as `talkinghead stage extract-mel`."""

import sys

from talkinghead.stages.launch import launch

if __name__ == "__main__":
    sys.exit(launch(__file__))
