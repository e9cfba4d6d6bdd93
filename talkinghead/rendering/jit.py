"""Compiled kernels: numba behind one typed decorator.

Kernels release the interpreter lock and are cached on disk, next to this package or, where that is read-only, in
numba's user cache folder; where neither can be written, or there is no source to tell old from new by, they are
compiled anew in each process. They are spread over threads by `ThreadPoolExecutor`, not by numba's own threading
layers: those may not be entered from two threads at once, and the stages of a run are threads.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar, overload

from talkinghead.errors import MissingDependency

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
R = TypeVar("R")


@overload
def kernel(function: F) -> F: ...


@overload
def kernel(*, contract: bool = False, inline: bool = False) -> Callable[[F], F]: ...


def kernel(function: Any = None, *, contract: bool = False, inline: bool = False) -> Any:
    """Compile a function with numba at its first call.

    Args:
        contract: allow fused multiply-add; off where results must equal NumPy's bit for bit.
        inline: for small helpers of other kernels.
    """

    def decorate(body: F) -> F:
        try:
            from numba import njit
        except ImportError as error:
            raise MissingDependency("numba", extra="models", purpose="Rendering on the CPU") from error
        flags: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}
        if contract:
            flags["fastmath"] = {"contract"}
        if inline:
            flags["forceinline"] = True
        try:
            compiled: F = njit(cache=True, **flags)(body)
        except RuntimeError:  # numba found no folder that it may write to, or no source
            compiled = njit(**flags)(body)
        return compiled

    return decorate if function is None else decorate(function)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="kernel")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not live on in a child


def spread(work: Callable[..., Any], pieces: Iterable[tuple[Any, ...]], threads: int) -> None:
    """Call `work(*piece)` for every piece, in at most `threads` threads, and wait for all.

    Pieces must write to different places; then the result does not depend on the number of threads.
    """
    if threads <= 1:
        for piece in pieces:
            work(*piece)
        return
    for future in [_pool(threads).submit(work, *piece) for piece in pieces]:
        future.result()


def in_order(work: Callable[[T], R], values: Iterable[T], threads: int) -> Iterator[R]:
    """`work` of every value, in order; up to `threads` at once, and no more values taken than that needs."""
    if threads <= 1:
        yield from (work(value) for value in values)
        return
    running: deque[Future[R]] = deque()
    try:
        for value in values:
            running.append(_pool(threads).submit(work, value))
            if len(running) > threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for future in running:
            future.cancel()


def chunks(count: int, pieces: int) -> list[tuple[int, int]]:
    """Cut range(count) into at most `pieces` intervals of nearly the same length."""
    pieces = max(1, min(pieces, count))
    bounds = [count * piece // pieces for piece in range(pieces + 1)]
    return list(pairwise(bounds))
