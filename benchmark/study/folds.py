"""Scene-grouped folds of a training split.

    python -m benchmark.study.folds --data_dir=DIR --output=FOLDS

Pictures of one scene follow each other in the names of NYU Depth V2. The split is cut into blocks
of neighbours; fold k validates on every k-th block and trains on the others, without the pictures
beside a border, so that no scene is in both. 80 pictures cannot rank recipes that differ by less
than 0.006 of si-RMSE.

Writes FOLDS/k/{train,validation}/{rgb,depth} with links to the files, for
`train.py --data_dir=FOLDS/k`.
"""

import itertools
import pathlib

from absl import flags

from mai_depth import command
from mai_depth import number_flags
from mai_depth.data.folder import PairFiles
from mai_depth.data.folder import list_pairs
from mai_depth.errors import UserError
from mai_depth.paths import flag_path

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Data in MAI layout.")
_SPLIT = flags.DEFINE_string("split", "train", "Split of it to cut.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder to make; it must not exist.")
_FOLDS = number_flags.define_integer("folds", 5, "How many.", 2, 20)
_BLOCKS = number_flags.define_integer("blocks", 4, "Blocks in a fold.", 1, 100)
_DROPPED = number_flags.define_integer(
    "dropped", 2, "Pictures to leave out of the training on each side of a block.", 0, 100)


def main() -> None:
    """Writes the folds and says how many pictures each has."""
    for flag in (_DATA_DIR, _OUTPUT):
        if not flag.value:
            raise UserError(f"--{flag.name}: give one")
    output = flag_path(_OUTPUT)
    if output.exists():
        raise UserError(f"--output={output}: exists; give another folder")
    pairs = list_pairs(flag_path(_DATA_DIR) / _SPLIT.value)
    for fold in range(_FOLDS.value):
        train, validation = divide(
            len(pairs), fold, folds=_FOLDS.value, blocks=_BLOCKS.value, dropped=_DROPPED.value)
        for name, indices in (("train", train), ("validation", validation)):
            _link([pairs[index] for index in indices], output / str(fold) / name)
        print(f"fold {fold}: {len(train)} for training, {len(validation)} for validation")


def divide(
    count: int, fold: int, *, folds: int, blocks: int, dropped: int
) -> tuple[list[int], list[int]]:
    """Divides the pictures 0 .. count - 1 for one fold.

    Args:
        count: How many there are.
        fold: Which fold, from 0.
        folds: How many folds there are.
        blocks: Blocks of neighbours in a fold.
        dropped: Pictures that neither side gets, on each side of a validation block.

    Returns:
        Indices for training, indices for validation.
    """
    borders = [round(number * count / (folds * blocks)) for number in range(folds * blocks + 1)]
    validation, beside = set(), set()
    for start, end in list(itertools.pairwise(borders))[fold::folds]:
        validation |= set(range(start, end))
        beside |= set(range(start - dropped, end + dropped))
    train = [index for index in range(count) if index not in validation | beside]
    return train, sorted(validation)


def _link(pairs: list[PairFiles], folder: pathlib.Path) -> None:
    for kind in ("rgb", "depth"):
        (folder / kind).mkdir(parents=True)
        for pair in pairs:
            path = getattr(pair, kind).path.resolve()
            (folder / kind / path.name).symlink_to(path)


if __name__ == "__main__":
    command.run(main)
