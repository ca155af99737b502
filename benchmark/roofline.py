"""What this CPU can do at most: a matrix product and a memory copy, timed beside the graphs.

Runs as a child process, because OpenBLAS takes its number of threads from the environment when
NumPy is imported.
"""

import dataclasses
import sys

import numpy as np

from benchmark.fork import forked
from benchmark.latency import timed
from benchmark.process import ChildProcess
from benchmark.process import serve

SIDE = 512  # of the square matrices: three of them fit into a second-level cache or nearly
COPY_BYTES = 64 * 1024 * 1024  # more than the caches hold
SGEMM_MACS = SIDE**3


@dataclasses.dataclass(frozen=True)
class Peaks:
    """What the CPU can do at most.

    Attributes:
        sgemm_gmacs_per_s: 1e9 multiply-accumulates in a second of a float32 matrix product.
        copy_gb_per_s: 1e9 bytes copied in a second.
    """

    sgemm_gmacs_per_s: float
    copy_gb_per_s: float


def sgemm_process(num_threads: int) -> ChildProcess:
    """Starts a child whose `run` times float32 matrix products of `SGEMM_MACS`."""
    return _process("sgemm", num_threads)


def copy_process() -> ChildProcess:
    """Starts a child whose `run` times copies of `COPY_BYTES` on one thread."""
    return _process("copy", 1)


def sgemm_percent(macs: int, relative: float | None) -> float | None:
    """Compares the speed of multiplications with that of the matrix product.

    Args:
        macs: Multiply-accumulates.
        relative: Their time, as a multiple of the product's; None where it is not known.

    Returns:
        Per cent, or None.
    """
    return None if relative is None else 100 * macs / SGEMM_MACS / relative


def _process(kind: str, num_threads: int) -> ChildProcess:
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
             "VECLIB_MAXIMUM_THREADS")
    environment = dict.fromkeys(names, str(num_threads))
    return ChildProcess("benchmark.roofline", [kind], environment, subject=f"roofline {kind}")


def _sgemm(count: int, warmup: int) -> tuple[list[int], int]:
    def times() -> tuple[list[int], int]:
        left, right, product = np.random.default_rng(0).random((3, SIDE, SIDE), np.float32)
        return timed(lambda: np.matmul(left, right, out=product), count, warmup)

    return forked(times)


def _copy(count: int, warmup: int) -> tuple[list[int], int]:
    source, target = _blocks
    return timed(lambda: np.copyto(target, source), count, warmup)


if __name__ == "__main__":
    if sys.argv[1] == "sgemm":
        serve({"run": _sgemm})
    else:
        _blocks = np.ones((2, COPY_BYTES // 4), np.float32)
        serve({"run": _copy})
