"""`python -m talkinghead.stages.chunk_mel`: the same as `talkinghead stage chunk-mel`."""

import sys

from talkinghead.stages.launch import launch

if __name__ == "__main__":
    sys.exit(launch(__file__))
