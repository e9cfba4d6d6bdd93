"""`python -m talkinghead.stages.paste_patches`: the same as `talkinghead stage paste-patches`."""

import sys

from talkinghead.stages.launch import launch

if __name__ == "__main__":
    sys.exit(launch(__file__))
