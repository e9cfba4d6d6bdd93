"""What is kept in memory stays within its limit, and what was used last stays."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.engine.lru import Lru

KEYS = st.integers(0, 6)
STEPS = st.lists(
    st.tuples(st.just("keep"), KEYS, st.integers(0, 12))
    | st.tuples(st.sampled_from(["find", "take"]), KEYS, st.just(0)),
    max_size=40,
)


@given(limit=st.integers(0, 20), by_size=st.booleans(), steps=STEPS)
@settings(deadline=None)
def test_it_holds_what_a_plain_list_would(limit: int, by_size: bool, steps: list[tuple[str, int, int]]) -> None:
    lru: Lru[int, str] = Lru(limit, len if by_size else None)
    plain: list[tuple[int, str]] = []  # the value used last stands at the end

    def total() -> int:
        return sum(len(value) if by_size else 1 for _, value in plain)

    for number, (what, key, size) in enumerate(steps):
        before = [value for one, value in plain if one == key]
        if what != "find" or before:
            plain = [item for item in plain if item[0] != key]
        if what == "keep":
            value = chr(ord("a") + number % 26) * size
            lru.keep(key, value)
            if (size if by_size else 1) <= limit:
                plain.append((key, value))
            while total() > limit:
                plain.pop(0)
        elif what == "find":
            assert lru.find(key) == (before[0] if before else None)
            plain += [(key, value) for value in before]
        else:
            assert lru.take(key) == (before[0] if before else None)
        assert len(lru) == len(plain)
        assert lru.used == total() <= limit
        assert [one in lru for one in range(7)] == [any(one == kept for kept, _ in plain) for one in range(7)]
    lru.clear()
    assert (len(lru), lru.used) == (0, 0)


def test_what_is_used_stays() -> None:
    lru: Lru[str, int] = Lru(2)
    lru.keep("a", 1)
    lru.keep("b", 2)
    assert lru.find("a") == 1
    lru.keep("c", 3)
    assert ("a" in lru, "b" in lru, "c" in lru) == (True, False, True)


def test_one_that_is_too_large_replaces_nothing_but_its_own() -> None:
    lru: Lru[str, bytes] = Lru(10, len)
    lru.keep("a", b"1234")
    lru.keep("b", bytes(11))
    assert (lru.find("a"), "b" in lru) == (b"1234", False)
    lru.keep("a", bytes(11))
    assert (len(lru), lru.used) == (0, 0)


def test_a_limit_is_not_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        Lru(-1)
