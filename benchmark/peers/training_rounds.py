"""Trainings that ran in turns: pictures a second of each, and of the first against the others."""

import statistics
from typing import Any


def advantages(rounds: dict[str, list[dict[str, Any]]], key: str) -> list[float]:
    """How many times as fast as the faster of the others the first training was, by rounds.

    Args:
        rounds: Of each training, in the order in which they are compared.
        key: `wall_s` or `cpu_s`.
    """
    first, *others = rounds.values()
    return [min(one[key] for one in beside) / own[key]
            for own, *beside in zip(first, *others, strict=True)]


def print_table(rounds: dict[str, list[dict[str, Any]]], pictures: int) -> None:
    """Prints pictures a second of each training, and how many times as fast the first one is.

    Args:
        rounds: As of `advantages`.
        pictures: In a round.
    """
    print(f"\n{'pictures a second':<20}{'by the clock':>24}{'of processor time':>28}")
    for name, done in rounds.items():
        shown = [_median_and_range([pictures / one[key] for one in done])
                 for key in ("wall_s", "cpu_s")]
        print(f"{name:<20}{shown[0]:>24}{shown[1]:>28}")
    first = next(iter(rounds))
    for key, what in (("wall_s", "by the clock"), ("cpu_s", "of processor time")):
        print(f"{first} against the faster of PyTorch's, {what}: "
              f"{_median_and_range(advantages(rounds, key), 2)}")


def _median_and_range(values: list[float], digits: int = 1) -> str:
    median, low, high = (
        f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
    return f"{median} ({low} to {high})"
