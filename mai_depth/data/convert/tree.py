"""The names of the files in a folder and its subfolders; nothing is opened."""

import os
import pathlib
import re

from mai_depth.errors import UserError


class Tree:
    """The files of a folder and of its subfolders.

    Attributes:
        root: The folder.
        folders: Each folder, relative to `root`, in natural order -> its files in natural order.
    """

    def __init__(self, root: pathlib.Path, folders: dict[pathlib.PurePath, list[str]]):
        self.root = root
        self.folders = folders

    def path(self, folder: pathlib.PurePath, name: str) -> pathlib.Path:
        """Returns the path of a file."""
        return self.root / folder / name

    def names(self, folder: pathlib.PurePath) -> list[str]:
        """Lists the files of a folder; none if there is no such folder."""
        return self.folders.get(folder, [])


def scan(
    root: pathlib.Path, leave_out: pathlib.Path | None = None, most_folders: int | None = None
) -> Tree:
    """Lists a folder and its subfolders; follows links and skips what is hidden.

    Args:
        root: The folder.
        leave_out: A folder to skip.
        most_folders: Stop after this many folders, which is enough for a guess.

    Returns:
        The tree.

    Raises:
        UserError: A folder cannot be listed.
    """
    seen: set[str] = set()  # links can lead in a circle
    if leave_out:
        seen.add(os.path.realpath(leave_out))
    folders: dict[pathlib.PurePath, list[str]] = {}
    for parent, subfolders, files in os.walk(root, onerror=_refuse, followlinks=True):
        kept = []
        for name in sorted(subfolders, key=natural):
            real = os.path.realpath(os.path.join(parent, name))
            if not name.startswith(".") and real not in seen:
                seen.add(real)
                kept.append(name)
        subfolders[:] = kept
        folder = pathlib.PurePath(os.path.relpath(parent, root))
        folders[folder] = sorted((name for name in files if not name.startswith(".")), key=natural)
        if most_folders and len(folders) >= most_folders:
            break
    return Tree(root, folders)


def natural(name: str) -> list[tuple[int, str]]:
    """Returns a key that sorts `frame2` before `frame10`."""
    return [(int(part), "") if part.isdecimal() and len(part) < 40 else (-1, part)
            for part in re.split(r"(\d+)", name)]


def _refuse(error: OSError) -> None:
    raise UserError(f"--input: {error.filename} cannot be listed ({error.strerror}); change its "
                    "permissions or give another folder") from error
