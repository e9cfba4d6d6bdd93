"""How many cores one of several workers on a machine uses: what all libraries read when they are loaded."""

from __future__ import annotations

from talkinghead.cores import CORES_VARIABLE, available_cores

_LIBRARIES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
    "VECLIB_MAXIMUM_THREADS",
)


def thread_environment(threads: int) -> dict[str, str]:
    """Variables for a process that is to use so many cores.

    They count for what is loaded after they are set: PyTorch, NumPy, OpenCV, numba; for this package, its networks,
    decoders and encoders at any time.
    """
    return dict.fromkeys((*_LIBRARIES, CORES_VARIABLE), str(threads))


def threads_each(workers: int) -> int:
    """Cores for each of several workers on this machine, at least one."""
    return max(1, available_cores() // max(1, workers))
