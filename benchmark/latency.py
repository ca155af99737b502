"""Timing of several graphs in alternation, so that whatever drifts hits all of them alike.

A round visits every graph once in a new random order and lets it run a short block of invokes.
A ratio is taken within a round, where the machine was the same for both, and its confidence
interval by resampling the rounds.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from benchmark.process import ChildCrash
from benchmark.process import ChildProcess

BLOCK_NS = 20e6  # a block lasts about so long: short against the drift of a CPU's clock
RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Latency:
    """Durations of one graph.

    Attributes:
        rounds: The durations of each round's block in nanoseconds.
        fault: Why it could not be measured to the end, or empty.
    """

    rounds: tuple[tuple[int, ...], ...]
    fault: str = ""

    @property
    def runs(self) -> int:
        """How many invokes were timed."""
        return sum(len(block) for block in self.rounds)

    def milliseconds(self, percentile: float) -> float:
        """Returns a percentile (0 = fastest, 50 = median, 100 = slowest) over all runs."""
        durations = np.concatenate([np.asarray(block) for block in self.rounds])
        return float(np.percentile(durations, percentile)) / 1e6


def measure(
    processes: Sequence[ChildProcess],
    *,
    warmup_runs: int,
    num_runs: int,
    min_secs: float,
    call: str = "run",
    seed: int = 0,
) -> list[Latency]:
    """Times processes in alternation.

    Args:
        processes: Children with a handler `call(count) -> nanoseconds`.
        warmup_runs: Runs before, not counted.
        num_runs: At least so many runs of each.
        min_secs: At least so many seconds of each.
        call: The handler's name.
        seed: Of the order within the rounds.

    Returns:
        The durations of each; all have the same number of rounds, except those with a fault.
    """
    random = np.random.default_rng(seed)
    faults = dict.fromkeys(range(len(processes)), "")
    rounds = [[] for _ in processes]
    counts = [_block(process, warmup_runs, call, faults, i) for i, process in enumerate(processes)]
    while any(not faults[i] and _wants_more(rounds[i], num_runs, min_secs) for i in faults):
        for i in random.permutation(len(processes)):
            if faults[i]:
                continue
            try:
                rounds[i].append(tuple(processes[i].call(call, count=min(counts[i], num_runs))))
            except ChildCrash as crash:
                faults[i] = str(crash)
    return [Latency(tuple(blocks), faults[i]) for i, blocks in enumerate(rounds)]


def ratio(first: Latency, other: Latency, seed: int = 0) -> tuple[float, float, float] | None:
    """Compares two graphs that were measured in one call of `measure`.

    The median over the rounds of (median of the block of `other` / of `first`), and its 95 %
    bootstrap interval (Efron 1979, percentiles).

    Args:
        first: The one that counts as 1.
        other: The one to compare.
        seed: Of the resampling.

    Returns:
        (ratio, low, high); more than 1 is slower than `first`. None if one has a fault; low and
        high are NaN with fewer than 5 rounds.
    """
    if first.fault or other.fault:
        return None
    logs = np.log([np.median(b) / np.median(a)
                   for a, b in zip(first.rounds, other.rounds, strict=True)])
    if len(logs) < 5:
        return float(np.exp(np.median(logs))), float("nan"), float("nan")
    chosen = np.random.default_rng(seed).integers(0, len(logs), (RESAMPLES, len(logs)))
    medians = np.median(logs[chosen], axis=1)
    return tuple(float(np.exp(value)) for value in (
        np.median(logs), np.percentile(medians, 2.5), np.percentile(medians, 97.5)))


def _block(
    process: ChildProcess, warmup_runs: int, call: str, faults: dict[int, str], index: int
) -> int:
    """Warms a process up and chooses its number of invokes in a block."""
    try:
        if warmup_runs:
            process.call(call, count=warmup_runs)
        return max(1, round(BLOCK_NS / max(1, min(process.call(call, count=2)))))
    except ChildCrash as crash:
        faults[index] = str(crash)
        return 1


def _wants_more(rounds: list[tuple[int, ...]], num_runs: int, min_secs: float) -> bool:
    durations = [duration for block in rounds for duration in block]
    return len(durations) < num_runs or sum(durations) < min_secs * 1e9
