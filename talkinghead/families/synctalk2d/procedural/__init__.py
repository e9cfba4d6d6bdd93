"""A template folder and networks made from formulas: for tests, measurements and the documentation.

The person is drawn (`person`), her mouth is a drawing of eight numbers (`mouth`), and a generator with constructed, not
trained weights (`weights`, written with `circuit`) draws it into the reference picture. So a real video comes out in
which the mouth follows the speech, at real size and speed.
"""

from __future__ import annotations

from talkinghead.families.synctalk2d.procedural.person import write_template
from talkinghead.families.synctalk2d.procedural.weights import write_models

__all__ = ["write_models", "write_template"]
