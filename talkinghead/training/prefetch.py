"""Batches that are made ahead, in threads, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetched(make: Callable[[int], T], steps: range, *, threads: int = 1, ahead: int = 3) -> Generator[T, None, None]:
    """`make(step)` for each step, in order; some are made before they are asked for.

    Args:
        make: safe to be called in several threads; what it gives depends on the step alone.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="batches") as pool:
        waiting: deque[Future[T]] = deque()
        coming = iter(steps)
        try:
            while True:
                while len(waiting) < ahead and (step := next(coming, None)) is not None:
                    waiting.append(pool.submit(make, step))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
