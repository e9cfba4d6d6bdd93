"""Motion on its way to pictures: collected where that is faster, never kept back where no more is known."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from talkinghead.families.artalk.avatar import Moment, batches, bursts, moments

ROW = np.zeros(106, np.float32)


def paced(pauses):
    return [Moment(index, ROW, pause) for index, pause in enumerate(pauses)]


@given(st.lists(st.booleans()), st.integers(1, 5))
def test_values_come_in_order_and_whole(pauses, size):
    values = paced(pauses)
    assert [value for batch in batches(iter(values), size) for value in batch] == values
    assert [value for burst in bursts(iter(values)) for value in burst] == values
    assert all(1 <= len(batch) <= size for batch in batches(iter(values), size))


@given(st.lists(st.booleans(), min_size=1))
def test_nothing_after_a_pause_is_waited_for(pauses):
    taken = []

    def source():
        for value in paced(pauses):
            taken.append(value)
            yield value

    for batch in batches(source(), 4):
        assert taken[-1] is batch[-1]
        assert not any(value.pause for value in batch[:-1])
    taken.clear()
    for burst in bursts(source()):
        last = list(burst)[-1]
        assert taken[-1] is last


def test_a_pause_is_where_no_later_motion_is_known():
    motion = [ROW, ROW]
    source = moments(iter(range(3)), motion)
    assert [next(source).pause, next(source).pause] == [False, True]
    motion.append(ROW)
    assert next(source).pause
