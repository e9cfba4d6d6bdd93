"""`python -m talkinghead.stages.extract_features`: the same as `talkinghead stage extract-features`."""

import sys

from talkinghead.stages.launch import launch

if __name__ == "__main__":
    sys.exit(launch(__file__))
