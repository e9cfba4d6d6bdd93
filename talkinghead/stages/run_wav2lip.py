"""`python -m talkinghead.stages.run_wav2lip`: the same as `talkinghead stage run-wav2lip`."""

import sys

from talkinghead.stages.launch import launch

if __name__ == "__main__":
    sys.exit(launch(__file__))
