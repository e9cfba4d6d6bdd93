"""`python -m talkinghead` is `talkinghead`."""

from __future__ import annotations

import sys

from talkinghead.cli.main import main

sys.exit(main())
