"""benchmark.latency: the alternation and the ratio, with blocks that only tell durations."""

import math

import numpy as np
import pytest

from benchmark.latency import Latency
from benchmark.latency import cpu_ratio
from benchmark.latency import measure
from benchmark.latency import ratio
from benchmark.latency import timed
from benchmark.process import ChildCrash

MS = 1_000_000


class Clock:
    """A block with durations of its own making that keeps a common diary."""

    def __init__(self, name, diary, milliseconds, crash_after=None):
        self.name, self.diary, self.left = name, diary, crash_after
        self.nanoseconds = int(milliseconds * MS)

    def __call__(self, count, warmup):
        self.diary.append(self.name)
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise ChildCrash(f"{self.name}: died")
        return [[self.nanoseconds] * count, self.nanoseconds * count // 2]


def _latency(*rounds):
    blocks = tuple(tuple(value * MS for value in block) for block in rounds)
    return Latency(blocks, tuple(map(sum, blocks)))


def test_percentiles_by_hand():
    latency = _latency((1, 2, 3), (4, 5))
    assert latency.runs == 5
    assert [latency.milliseconds(p) for p in (0, 50, 90, 100)] == [1.0, 3.0, 4.6, 5.0]


def test_ratio_is_taken_within_rounds():
    # The machine becomes ten times slower in the middle; the graph stays twice as slow.
    first = _latency(*[(1, 1, 1)] * 5, *[(10, 10, 10)] * 5)
    other = _latency(*[(2, 2, 2)] * 5, *[(20, 20, 20)] * 5)
    assert ratio(first, other) == pytest.approx((2.0, 2.0, 2.0))


def test_ratio_to_itself_is_one_and_intervals_hold_it():
    random = np.random.default_rng(0)
    noisy = [_latency(*(tuple(random.lognormal(0, 0.2, 3)) for _ in range(60))) for _ in range(2)]
    assert ratio(noisy[0], noisy[0]) == (1.0, 1.0, 1.0)
    middle, low, high = ratio(*noisy)
    assert low < 1.0 < high
    assert low <= middle <= high
    assert high - low < 0.2


def test_processor_time_is_that_of_a_mean_run():
    # The second round has no block of `other`, and of `first` it does not count then.
    first = Latency(((1, 1), (1, 1), (1,)), (4 * MS, 90 * MS, 2 * MS))
    other = Latency(((1,), (), (1, 1)), (6 * MS, 0, 12 * MS))
    assert first.cpu_milliseconds() == pytest.approx(96 / 5)
    assert other.cpu_milliseconds() == pytest.approx(6.0)
    assert cpu_ratio(first, other) == pytest.approx(3.0)
    assert cpu_ratio(first, Latency((), (), "died")) is None


def test_ratio_of_few_rounds_has_no_interval():
    middle, low, high = ratio(_latency((1,), (1,)), _latency((3,), (3,)))
    assert middle == pytest.approx(3.0)
    assert math.isnan(low) and math.isnan(high)


def test_every_round_visits_all_in_changing_order():
    diary = []
    blocks = [Clock(name, diary, ms) for name, ms in (("a", 5), ("b", 1), ("c", 20))]
    results = measure(blocks, warmup_runs=0, num_runs=50, min_secs=0.0)
    rounds = [diary[i : i + 3] for i in range(3, len(diary), 3)]  # the first three set the blocks
    assert all(sorted(visited) == ["a", "b", "c"] for visited in rounds)
    assert len({tuple(visited) for visited in rounds}) > 2
    assert {len(result.rounds) for result in results} == {len(rounds)}
    assert all(result.runs >= 50 for result in results)
    assert len(rounds) >= 30


def test_a_slow_graph_does_not_wait_for_a_fast_one():
    diary = []
    blocks = [Clock("fast", diary, 1), Clock("slow", diary, 500)]
    fast, slow = measure(blocks, warmup_runs=0, num_runs=50, min_secs=1.0)
    assert diary.count("fast") > 80 and diary.count("slow") == 1 + 30
    assert len(fast.rounds) == len(slow.rounds)
    assert slow.runs == 90 and slow.milliseconds(50) == 500.0
    assert ratio(fast, slow) == pytest.approx((500.0, 500.0, 500.0))


def test_limits_of_runs_and_seconds():
    one = measure([Clock("a", [], 5)], warmup_runs=0, num_runs=1, min_secs=0.0)[0]
    assert one.runs == 1
    long = measure([Clock("a", [], 5)], warmup_runs=3, num_runs=1, min_secs=2.0)[0]
    assert sum(sum(block) for block in long.rounds) >= 2e9


def test_a_crash_ends_one_graph_and_not_the_others():
    diary = []
    blocks = [Clock("a", diary, 5), Clock("b", diary, 5, crash_after=4)]
    good, crashed = measure(blocks, warmup_runs=0, num_runs=50, min_secs=0.0)
    assert good.runs >= 50 and not good.fault
    assert crashed.fault == "b: died"
    assert ratio(good, crashed) is None


def test_a_crash_in_the_warm_up():
    crashed = measure([Clock("b", [], 5, crash_after=0)], warmup_runs=1, num_runs=5, min_secs=0.0)
    assert crashed[0].fault == "b: died"
    assert crashed[0].runs == 0


def test_timed_counts_runs_and_leaves_the_warm_up_out():
    calls = []
    durations, cpu_time = timed(lambda: calls.append(1), 4, warmup=2)
    assert len(calls) == 6
    assert len(durations) == 4
    assert min(durations) >= 0 and cpu_time >= 0
