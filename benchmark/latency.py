"""Timing of several graphs in alternation, so that whatever drifts hits all of them alike.

A round visits every graph once in a new random order and lets it run a short block of invokes, in
memory of its own (`benchmark.fork`); a slow graph, which has run for long enough, is left out of
the last rounds. A ratio is taken within a round, where the machine was the same for both, and its
confidence interval by resampling the rounds. The processor time of a block is taken beside its
durations: where other programs take part it shows what the runs would have needed alone. Of a
block, not of a run, because the system credits a thread that still runs on another core only every
few milliseconds.
"""

import dataclasses
import gc
import time
from collections.abc import Callable
from collections.abc import Sequence

import numpy as np

from benchmark.process import ChildCrash

# (count=, warmup=) -> what `timed` returns
Block = Callable[..., tuple[list[int], int]]

BLOCK_NS = 12e6  # a short block: many rounds, and little drift within one
BLOCK_RUNS = 3  # but a median of a few even where one run is longer than that
ROUNDS = 30  # at least, where --num_runs allows: a bootstrap needs some
RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Latency:
    """Durations of one graph.

    Attributes:
        rounds: The durations of each round's block in nanoseconds, none where it was left out.
        cpu_rounds: The processor time of each round's block, summed over its runs and threads.
        fault: Why it could not be measured to the end, or empty.
    """

    rounds: tuple[tuple[int, ...], ...]
    cpu_rounds: tuple[int, ...]
    fault: str = ""

    @property
    def runs(self) -> int:
        """How many invokes were timed."""
        return sum(len(block) for block in self.rounds)

    def milliseconds(self, percentile: float) -> float:
        """Returns a percentile of the durations (0 = fastest, 50 = median, 100 = slowest)."""
        durations = np.concatenate([np.asarray(block) for block in self.rounds])
        return float(np.percentile(durations, percentile)) / 1e6

    def cpu_milliseconds(self) -> float:
        """Returns the mean processor time of a run, of all threads together."""
        return sum(self.cpu_rounds) / self.runs / 1e6


def timed(function: Callable[[], object], count: int, warmup: int) -> tuple[list[int], int]:
    """Times a function.

    Args:
        function: What to time.
        count: How many runs.
        warmup: How many runs before: another process has just used the caches.

    Returns:
        The durations of the `count` runs and the processor time of all of them together, in
        nanoseconds.
    """
    for _ in range(warmup):
        function()
    durations = []
    gc.disable()
    cpu_start = time.process_time_ns()
    for _ in range(count):
        start = time.perf_counter_ns()
        function()
        durations.append(time.perf_counter_ns() - start)
    cpu_time = time.process_time_ns() - cpu_start
    gc.enable()
    return durations, cpu_time


def measure(
    blocks: Sequence[Block], *, warmup_runs: int, num_runs: int, min_secs: float
) -> list[Latency]:
    """Times graphs in alternation.

    Args:
        blocks: Each runs its graph `count` times after `warmup` times and returns what `timed`
            does, or raises `ChildCrash`.
        warmup_runs: Runs before each block, not counted.
        num_runs: At least so many runs of each.
        min_secs: At least so many seconds of each.

    Returns:
        The durations of each; all have the same number of rounds, except those with a fault.
    """
    random = np.random.default_rng(0)
    faults = dict.fromkeys(range(len(blocks)), "")
    rounds: list[list[tuple[int, ...]]] = [[] for _ in blocks]
    cpu_rounds: list[list[int]] = [[] for _ in blocks]
    counts = [_block_runs(block, warmup_runs, faults, i) for i, block in enumerate(blocks)]
    while any(not faults[i] and _wants_more(rounds[i], num_runs, min_secs) for i in faults):
        for i in random.permutation(len(blocks)):
            if faults[i]:
                continue
            durations: Sequence[int] = ()
            cpu_time = 0
            if _wants_more(rounds[i], num_runs, min_secs):
                try:
                    durations, cpu_time = blocks[i](
                        count=min(counts[i], num_runs), warmup=warmup_runs)
                except ChildCrash as crash:
                    faults[i] = str(crash)
                    continue
            rounds[i].append(tuple(durations))
            cpu_rounds[i].append(cpu_time)
    return [Latency(tuple(rounds[i]), tuple(cpu_rounds[i]), faults[i]) for i in faults]


def ratio(first: Latency, other: Latency) -> tuple[float, float, float] | None:
    """Compares two graphs that were measured in one call of `measure`.

    The median over the rounds of both of (median of the block of `other` / of `first`), and its
    95 % bootstrap interval (Efron 1979, percentiles).

    Args:
        first: The one that counts as 1.
        other: The one to compare.

    Returns:
        (ratio, low, high); more than 1 is slower than `first`. None if one has a fault; low and
        high are NaN with fewer than 5 rounds.
    """
    if first.fault or other.fault:
        return None
    pairs = zip(first.rounds, other.rounds, strict=True)
    logs = np.log([np.median(b) / np.median(a) for a, b in pairs if a and b])
    if len(logs) < 5:
        return float(np.exp(np.median(logs))), float("nan"), float("nan")
    chosen = np.random.default_rng(0).integers(0, len(logs), (RESAMPLES, len(logs)))
    medians = np.median(logs[chosen], axis=1)
    middle, low, high = (float(np.exp(value)) for value in (
        np.median(logs), np.percentile(medians, 2.5), np.percentile(medians, 97.5)))
    return middle, low, high


def cpu_ratio(first: Latency, other: Latency) -> float | None:
    """Compares the mean processor times of two graphs over the rounds that both took part in.

    Args:
        first: The one that counts as 1.
        other: The one to compare.

    Returns:
        The ratio, or None if one has a fault.
    """
    if first.fault or other.fault:
        return None
    common = [i for i, (a, b) in enumerate(zip(first.rounds, other.rounds, strict=True)) if a and b]
    means = [
        sum(latency.cpu_rounds[i] for i in common) / sum(len(latency.rounds[i]) for i in common)
        for latency in (first, other)
    ]
    return means[1] / means[0]


def _block_runs(block: Block, warmup_runs: int, faults: dict[int, str], index: int) -> int:
    """Chooses the number of invokes in a block."""
    try:
        durations, _ = block(count=2, warmup=warmup_runs)
    except ChildCrash as crash:
        faults[index] = str(crash)
        return 1
    return max(BLOCK_RUNS, round(BLOCK_NS / max(1, min(durations))))


def _wants_more(rounds: list[tuple[int, ...]], num_runs: int, min_secs: float) -> bool:
    durations = [duration for block in rounds for duration in block]
    return (len(durations) < num_runs or sum(map(bool, rounds)) < min(num_runs, ROUNDS)
            or sum(durations) < min_secs * 1e9)
