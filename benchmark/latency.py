"""Timing of several graphs in alternation, so that whatever drifts hits all of them alike.

A round visits every graph once in a new random order and lets it run a short block of invokes; a
slow graph, which has run for long enough, is left out of the last rounds. A ratio is taken within
a round, where the machine was the same for both, and its confidence interval by resampling the
rounds. The processor time of a run is taken beside its duration: where other programs take part it
tells what the run would have needed alone.
"""

import dataclasses
import gc
import time
from collections.abc import Callable
from collections.abc import Sequence

import numpy as np

from benchmark.process import ChildCrash
from benchmark.process import ChildProcess

BLOCK_NS = 12e6  # a short block: many rounds, and little drift within one
BLOCK_RUNS = 3  # but a median of a few even where one run is longer than that
ROUNDS = 30  # at least, where --num_runs allows: a bootstrap needs some
RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Latency:
    """Durations of one graph.

    Attributes:
        rounds: The durations of each round's block in nanoseconds, none where it was left out.
        cpu_rounds: The same of the processor time, summed over the threads.
        fault: Why it could not be measured to the end, or empty.
    """

    rounds: tuple[tuple[int, ...], ...]
    cpu_rounds: tuple[tuple[int, ...], ...]
    fault: str = ""

    @property
    def runs(self) -> int:
        """How many invokes were timed."""
        return sum(len(block) for block in self.rounds)

    def milliseconds(self, percentile: float, cpu: bool = False) -> float:
        """Returns a percentile (0 = fastest, 50 = median, 100 = slowest) over all runs.

        Args:
            percentile: 0 to 100.
            cpu: Of the processor time instead of the duration.
        """
        rounds = self.cpu_rounds if cpu else self.rounds
        durations = np.concatenate([np.asarray(block) for block in rounds])
        return float(np.percentile(durations, percentile)) / 1e6


def timed(function: Callable[[], object], count: int) -> list[list[int]]:
    """Times a function. One more run goes before: another process has just used the caches.

    Args:
        function: What to time.
        count: How many runs.

    Returns:
        [durations, processor times], each of `count` nanoseconds.
    """
    function()
    durations, cpu_times = [], []
    gc.disable()
    for _ in range(count):
        cpu_start, start = time.process_time_ns(), time.perf_counter_ns()
        function()
        durations.append(time.perf_counter_ns() - start)
        cpu_times.append(time.process_time_ns() - cpu_start)
    gc.enable()
    return [durations, cpu_times]


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
        processes: Children with a handler `call(count)` that returns what `timed` does.
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
    rounds, cpu_rounds = [[] for _ in processes], [[] for _ in processes]
    counts = [_block(process, warmup_runs, call, faults, i) for i, process in enumerate(processes)]
    while any(not faults[i] and _wants_more(rounds[i], num_runs, min_secs) for i in faults):
        for i in random.permutation(len(processes)):
            if faults[i]:
                continue
            block = (), ()
            if _wants_more(rounds[i], num_runs, min_secs):
                try:
                    block = processes[i].call(call, count=min(counts[i], num_runs))
                except ChildCrash as crash:
                    faults[i] = str(crash)
                    continue
            rounds[i].append(tuple(block[0]))
            cpu_rounds[i].append(tuple(block[1]))
    return [Latency(tuple(rounds[i]), tuple(cpu_rounds[i]), faults[i]) for i in faults]


def ratio(
    first: Latency, other: Latency, cpu: bool = False, seed: int = 0
) -> tuple[float, float, float] | None:
    """Compares two graphs that were measured in one call of `measure`.

    The median over the rounds of both of (median of the block of `other` / of `first`), and its
    95 % bootstrap interval (Efron 1979, percentiles).

    Args:
        first: The one that counts as 1.
        other: The one to compare.
        cpu: Compares the processor times instead of the durations.
        seed: Of the resampling.

    Returns:
        (ratio, low, high); more than 1 is slower than `first`. None if one has a fault; low and
        high are NaN with fewer than 5 rounds.
    """
    if first.fault or other.fault:
        return None
    pairs = (zip(first.cpu_rounds, other.cpu_rounds, strict=True) if cpu
             else zip(first.rounds, other.rounds, strict=True))
    logs = np.log([np.median(b) / np.median(a) for a, b in pairs if a and b])
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
        return max(BLOCK_RUNS, round(BLOCK_NS / max(1, min(process.call(call, count=2)[0]))))
    except ChildCrash as crash:
        faults[index] = str(crash)
        return 1


def _wants_more(rounds: list[tuple[int, ...]], num_runs: int, min_secs: float) -> bool:
    durations = [duration for block in rounds for duration in block]
    return (len(durations) < num_runs or sum(map(bool, rounds)) < min(num_runs, ROUNDS)
            or sum(durations) < min_secs * 1e9)
