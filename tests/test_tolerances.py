"""The table of tolerances: every row has a reason, can be reached, and is about files that exist."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from tests.golden_files import GOLDEN
from tests.tolerances import ROWS, tolerance

FILES = sorted(path.relative_to(GOLDEN).with_suffix("").as_posix() for path in GOLDEN.glob("*/*.npz"))


@pytest.mark.parametrize(("pattern", "value", "why"), ROWS, ids=[row[0] for row in ROWS])
def test_rows(pattern: str, value: float, why: str) -> None:
    assert value >= 0
    assert len(why) >= 5
    name = pattern if ":" in pattern else f"{pattern}:anything"
    earlier = [row[0] for row in ROWS[: [row[0] for row in ROWS].index(pattern)]]
    assert not [one for one in earlier if fnmatchcase(name, one if ":" in one else f"{one}:*")], "never reached"
    if "/" in pattern:
        assert [file for file in FILES if fnmatchcase(file, pattern.partition(":")[0])], "no such golden file"


def test_the_first_row_that_fits_decides() -> None:
    assert tolerance("artalk/vae_small:bits_single") == 0
    assert tolerance("artalk/vae_small:sum_feat") == 1e-6
    assert tolerance("runtimes") == tolerance("runtimes:anything") == 1e-4
    with pytest.raises(KeyError, match="no row"):
        tolerance("artalk/nothing:x")
