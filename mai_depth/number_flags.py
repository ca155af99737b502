"""Numeric flags with a lower and an upper bound.

absl's own bounds are optional and let NaN through; these accept only finite numbers in the range.
"""

from collections.abc import Sequence

from absl import flags

flags.disclaim_key_flags()  # a flag belongs to the entry file that calls


def define_float(
    name: str, default: float | None, text: str, low: float, high: float
) -> flags.FlagHolder:
    """Defines a flag that takes a finite number.

    Args:
        name: The flag.
        default: Its value when it is not given.
        text: What `--help` says.
        low: The smallest number that is accepted.
        high: The largest.

    Returns:
        The flag.
    """
    return flags.DEFINE(
        _FloatParser(low, high), name, default, text, serializer=flags.ArgumentSerializer())


def define_multi_float(name: str, text: str, low: float, high: float) -> flags.FlagHolder:
    """Defines a flag that may be repeated, with a finite number each time; see `define_float`."""
    return flags.DEFINE_multi(
        _FloatParser(low, high), flags.ArgumentSerializer(), name, [], text)


def define_integer(
    name: str, default: int | None, text: str, low: int, high: int
) -> flags.FlagHolder:
    """Defines a flag that takes a whole number; the arguments are those of `define_float`."""
    return flags.DEFINE_integer(name, default, text, low, high)


def define_multi_integer(
    name: str, default: Sequence[int], text: str, low: int, high: int
) -> flags.FlagHolder:
    """Defines a flag that may be repeated, with a whole number each time; see `define_float`."""
    return flags.DEFINE_multi_integer(name, default, text, low, high)


def define_integers(
    name: str, default: Sequence[int] | None, text: str, low: int, high: int, form: str
) -> flags.FlagHolder:
    """Defines a flag that takes whole numbers, separated by commas.

    Args:
        name: The flag.
        default: Its value when it is not given.
        text: What `--help` says.
        low: The smallest number that is accepted.
        high: The largest.
        form: What the error message asks for, for instance "four whole numbers".

    Returns:
        The flag; its value is a list of integers.
    """
    return flags.DEFINE(_IntegersParser(low, high, form), name, default, text,
                        serializer=flags.CsvListSerializer(","))


class _FloatParser(flags.FloatParser):

    def is_outside_bounds(self, val: float) -> bool:
        return not self.lower_bound <= val <= self.upper_bound  # so is NaN


class _IntegersParser(flags.ListParser):

    def __init__(self, low: int, high: int, form: str):
        super().__init__()
        self.lower_bound, self.upper_bound = low, high
        self._form = form

    def parse(self, argument: str | Sequence[int]) -> list[int]:
        words = [str(word) for word in super().parse(argument)]
        if not all(map(self._is_good, words)):
            raise ValueError(
                f"give {self._form} in the range [{self.lower_bound}, {self.upper_bound}]")
        return [int(word) for word in words]

    def _is_good(self, word: str) -> bool:
        # The length comes first: Python refuses to convert thousands of digits.
        return (word.isdecimal() and len(word) <= 20
                and self.lower_bound <= int(word) <= self.upper_bound)
