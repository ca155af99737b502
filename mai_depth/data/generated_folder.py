"""A folder of generated pictures, made on demand: whole or not at all, and only once."""

import os
import pathlib
from collections.abc import Callable

from mai_depth.data.cache import new_folder
from mai_depth.errors import UserError


def generated_folder(
    folder: str | os.PathLike,
    record: dict,
    read_record: Callable[[pathlib.Path], dict | None],
    write: Callable[[pathlib.Path], None],
) -> pathlib.Path:
    """Makes a folder, unless it is there with the same record.

    What a killed process left is removed.

    Args:
        folder: Where to; its parents are made.
        record: Everything that decides its content.
        read_record: Returns the record of a folder that was made here, None for any other.
        write: Fills an empty folder, its record included.

    Returns:
        The folder.

    Raises:
        UserError: The folder holds something else, or cannot be written.
    """
    folder = pathlib.Path(folder)
    if read_record(folder) == record:
        return folder
    _refuse_files_of_others(folder, read_record)
    with new_folder(folder, lambda: read_record(folder) == record) as temporary:
        write(temporary)
        _refuse_files_of_others(folder, read_record)
    return folder


def _refuse_files_of_others(folder: pathlib.Path, read_record: Callable) -> None:
    is_empty = folder.is_dir() and not any(folder.iterdir())
    if folder.exists() and not is_empty and read_record(folder) is None:
        raise UserError(f"{folder}: holds other files; empty it or set another --cache_dir")
