"""Splits pairs into training and validation, and names them."""

import math
import re
from typing import NamedTuple

from mai_depth.data.convert.sequence import Frame
from mai_depth.data.convert.sequence import Sequence
from mai_depth.errors import UserError

TRAIN, VALIDATION = "train", "validation"
SPLITS = (TRAIN, VALIDATION)

_OWN_SPLITS = {  # folders in which a data set keeps splits of its own
    TRAIN: ("train", "training"),
    VALIDATION: ("validation", "val", "valid", "test", "testing"),
}
_GAP_SHARE = 0.1  # this share of the validation pairs is left out before them
_LONGEST = 120  # characters of a name; a file system takes 255 bytes
_MUCH = 1.5  # a whole sequence may exceed what was asked for by this factor


class Task(NamedTuple):
    """A pair to convert.

    Attributes:
        sequence: Its position among the sequences.
        frame: Where it comes from.
        split: `train` or `validation`.
        name: Its name there.
    """

    sequence: int
    frame: Frame
    split: str
    name: str


class Plan(NamedTuple):
    """What will be done.

    Attributes:
        tasks: The pairs, in the order of the sequences.
        gap: Number of pairs between training and validation that are left out.
        line: How the pairs were split, in words.
    """

    tasks: list[Task]
    gap: int
    line: str


def plan(sequences: list[Sequence], validation_share: float, every: int) -> Plan:
    """Chooses the validation pairs; neighbours in a recording are never in both splits.

    A data set that has folders for both keeps them. Else whole sequences are taken from the end, as
    far as they fit; if none fits, the end of the last one, with a gap before it.

    Args:
        sequences: What was found.
        validation_share: Share of all pairs; 0 for no validation.
        every: Take every Nth frame of a sequence.

    Returns:
        The pairs with their splits and names.

    Raises:
        UserError: Nothing would be left for training.
    """
    frames = [sequence.frames[::every] for sequence in sequences]
    own = [_own_split(sequence.name) for sequence in sequences]
    gap = 0
    if TRAIN in own and VALIDATION in own:
        first = [0 if split == VALIDATION else len(kept)
                 for split, kept in zip(own, frames, strict=True)]
        line = "the folders of the data set say what is for validation"
    else:
        first, gap, line = _choose([len(kept) for kept in frames], validation_share)
    tasks: list[Task] = []
    taken: set[tuple[str, str]] = set()
    for index, (sequence, kept) in enumerate(zip(sequences, frames, strict=True)):
        start = first[index]
        end = start - gap if 0 < start < len(kept) else start
        for number, frame in enumerate(kept):
            if end <= number < start:
                continue
            split = VALIDATION if number >= start else TRAIN
            name = _unique(_name(sequence.name, frame.name), split, taken)
            tasks.append(Task(index, frame, split, name))
    if not any(task.split == TRAIN for task in tasks):
        raise UserError(f"--validation_share={validation_share:g} of {sum(map(len, frames))} pairs "
                        "leaves none for training; lower it, or give more pictures")
    return Plan(tasks, gap, line)


def _choose(counts: list[int], share: float) -> tuple[list[int], int, str]:
    """For each sequence the position from which it is for validation; the gap; how, in words."""
    first = list(counts)
    wanted = math.ceil(sum(counts) * share) if share else 0
    if not wanted:
        return first, 0, "no pair is for validation; give --validation_count to train.py"
    missing = wanted
    if len(counts) > 1:
        for index in reversed(range(len(counts))):
            fits = counts[index] <= missing or (
                missing == wanted and counts[index] <= _MUCH * wanted)
            if missing > 0 and fits:
                first[index] = 0
                missing -= counts[index]
        if missing < wanted:
            whole = sum(start == 0 for start in first)
            return first, 0, f"{whole} of {len(counts)} sequences are for validation"
    first[-1] = max(0, counts[-1] - wanted)
    gap = min(math.ceil(wanted * _GAP_SHARE), max(0, first[-1] - 1))
    return first, gap, ("the end of the last sequence is for validation" if len(counts) > 1
                        else "the end of the sequence is for validation")


def _own_split(name: str) -> str | None:
    for part in name.lower().split("/"):
        for split, words in _OWN_SPLITS.items():
            if part in words:
                return split
    return None


def _name(sequence: str, frame: str) -> str:
    parts = [part for part in sequence.split("/")
             if part and not any(part.lower() in words for words in _OWN_SPLITS.values())]
    # A shell splits a name at a blank.
    name = re.sub(r"[^\w.+-]+", "_", "-".join([*parts, frame]))
    return name[-_LONGEST:].lstrip(".") or "pair"


def _unique(name: str, split: str, taken: set[tuple[str, str]]) -> str:
    number, chosen = 1, name
    while (split, chosen.lower()) in taken:  # a file system may ignore case
        number += 1
        chosen = f"{name}-{number}"
    taken.add((split, chosen.lower()))
    return chosen
