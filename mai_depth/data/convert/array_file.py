"""Arrays of .npy and .npz files whose content is unchecked."""

import pathlib
import zipfile

import numpy as np

from mai_depth.errors import UserError
from mai_depth.picture import MAX_PIXELS

_MOST_BYTES = MAX_PIXELS * 8


def read_array(path: pathlib.Path, names: tuple[str, ...]) -> np.ndarray:
    """Reads one array.

    Args:
        path: A .npy, or a .npz.
        names: Names of the array in a .npz, in order of preference; its only array may have any
            name.

    Returns:
        The array.

    Raises:
        UserError: It cannot be read, is larger than any picture, or none has such a name.
    """
    try:
        if path.suffix.lower() == ".npz":
            return _read_member(path, names)
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # the header tells the size
        _check_size(path, array.nbytes)
        return np.array(array)
    except OSError as error:
        reason = error.strerror or "not an array"
        raise UserError(f"{path}: cannot be read ({reason}); replace the file") from error
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, MemoryError) as error:
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"{path}: not an array that can be read ({reason}); save it again with "
                        "numpy.save") from error


def _read_member(path: pathlib.Path, names: tuple[str, ...]) -> np.ndarray:
    with zipfile.ZipFile(path) as archive:
        there = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        chosen = next((name for name in names if name in there), None)
        if chosen is None and len(there) == 1:
            chosen = next(iter(there))
        if chosen is None:
            raise UserError(f"{path}: holds {', '.join(there) or 'nothing'}, but no {names[0]}; "
                            f"name the array {names[0]}")
        _check_size(path, there[chosen].file_size)
        with archive.open(there[chosen]) as file:
            return np.lib.format.read_array(file, allow_pickle=False)


def _check_size(path: pathlib.Path, size: int) -> None:
    if size > _MOST_BYTES:
        raise UserError(f"{path}: {size / 1e6:.0f} MB are more than any depth map of "
                        f"{MAX_PIXELS // 1_000_000} million pixels has; scale it down")
