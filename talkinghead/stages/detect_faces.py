"""`python -m talkinghead.stages.detect_faces`: the same as `talkinghead stage detect-faces`."""

import sys

from talkinghead.stages.launch import launch

if __name__ == "__main__":
    sys.exit(launch(__file__))
