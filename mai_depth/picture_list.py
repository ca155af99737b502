"""Which pictures `--input` means, and where under `--output` the answers to each of them go."""

import collections
import os
import pathlib
from collections.abc import Iterable
from typing import NamedTuple

from mai_depth.errors import UserError
from mai_depth.paths import expand

# HEIC is there to be named as unreadable rather than passed over in silence.
SUFFIXES = frozenset((".avif", ".bmp", ".gif", ".heic", ".jp2", ".jpeg", ".jpg", ".pgm", ".png",
                      ".ppm", ".tga", ".tif", ".tiff", ".webp"))


class Entry(NamedTuple):
    """A picture file, and its path under the output folder without a suffix."""

    path: pathlib.Path
    stem: pathlib.PurePath


def list_pictures(source: str | os.PathLike, output: str | os.PathLike) -> list[Entry]:
    """Lists the pictures of a file, a folder or a list.

    Args:
        source: A picture; a folder, which is searched with its subfolders for the suffixes of
            pictures (hidden files, links to folders and `output` itself are passed over); or a
            `.txt` with one path a line, relative to the list, where empty lines and lines with #
            at the start do not count.
        output: The folder for the answers. The tree of `source` is kept in it, also that of
            listed files outside the list's own folder.

    Returns:
        The pictures; two files of one name keep their suffix in the stem (`a_jpg`, `a_png`).

    Raises:
        UserError: Missing, unreadable, empty, or a file is named twice.
    """
    source, output = pathlib.Path(source), pathlib.Path(output)
    if source.is_dir():
        return _entries(_search(source, output), source)
    if source.suffix.lower() == ".txt":
        return _entries(_read_list(source), source.parent)
    if not source.exists():
        raise UserError(f"--input={source}: no such file or folder")
    return [Entry(source, pathlib.PurePath(source.stem))]


def _search(folder: pathlib.Path, output: pathlib.Path) -> list[pathlib.Path]:
    if folder.resolve() == output.resolve():
        raise UserError(f"--output={output}: this is the input folder; give another one, so that "
                        "answers are not taken for pictures")
    found = []
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        here = pathlib.Path(parent)
        folders[:] = sorted(name for name in folders if not name.startswith(".")
                            and (here / name).resolve() != output.resolve())
        found += [here / name for name in sorted(files)
                  if not name.startswith(".") and pathlib.Path(name).suffix.lower() in SUFFIXES]
    if not found:
        raise UserError(f"--input={folder}: no pictures in this folder")
    return found


def _read_list(path: pathlib.Path) -> list[pathlib.Path]:
    try:
        # Notepad begins a file with a byte order mark.
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except OSError as error:
        raise UserError(f"--input={path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"--input={path}: not UTF-8 text (UTF-16 from Windows?); save it as UTF-8, "
                        "one picture a line") from error
    paths = [_listed(path, line) for line in lines if line and not line.startswith("#")]
    if not paths:
        raise UserError(f"--input={path}: the list is empty")
    return paths


def _listed(path: pathlib.Path, line: str) -> pathlib.Path:
    try:
        picture = expand(line, "input")
    except UserError as error:
        raise UserError(f"--input={path}: {str(error).removeprefix('--input=')}") from error
    if picture.name in ("", ".."):
        raise UserError(f"--input={path}: {line} in it is a folder; a list names pictures, one "
                        "a line")
    return path.parent / picture


def _entries(paths: Iterable[pathlib.Path], root: pathlib.Path) -> list[Entry]:
    relative = {path: _under(path, root) for path in dict.fromkeys(paths)}
    names = collections.Counter(place.with_suffix("") for place in relative.values())
    entries = [
        Entry(path, place.with_suffix("") if names[place.with_suffix("")] == 1
              else place.with_name(f"{place.stem}_{place.suffix[1:]}"))
        for path, place in relative.items()
    ]
    taken = {}
    for entry in entries:
        other = taken.setdefault(entry.stem, entry.path)
        if other != entry.path:
            raise UserError(f"{entry.path} and {other} would have the same output; rename one")
    return entries


def _under(path: pathlib.Path, root: pathlib.Path) -> pathlib.PurePath:
    """The path from `root`, or from the file system's root for what lies elsewhere."""
    absolute = pathlib.Path(os.path.abspath(path))
    try:
        return absolute.relative_to(os.path.abspath(root))
    except ValueError:
        return absolute.relative_to(absolute.anchor)


def _refuse(error: OSError) -> None:
    raise UserError(f"{error.filename}: cannot be listed ({error.strerror}); change its permissions"
                    ) from error
