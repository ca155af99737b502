"""Reads the small JSON files beside models and graphs, which may come from anywhere."""

import errno
import json
import os
import pathlib
import stat
from typing import Any
from typing import NoReturn

_LIMIT_BYTES = 16 << 20  # ours are a few kilobytes


def read_json(path: str | os.PathLike, kind: type = dict) -> Any:
    """Reads a JSON file whose content is unchecked.

    Args:
        path: The file.
        kind: The required type of its content, `dict` or `list`.

    Returns:
        The content.

    Raises:
        OSError: It is missing or cannot be read.
        ValueError: It is not JSON in UTF-8, larger than 16 MB, nested too deeply, of another kind,
            or holds NaN, infinity or a number of thousands of digits.
    """
    path = pathlib.Path(path)
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # a pipe would block
        raise OSError(errno.EINVAL, "not a file", os.fspath(path))
    if status.st_size > _LIMIT_BYTES:
        raise ValueError(f"{status.st_size / 1e6:.0f} MB is too large")
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(content, kind):
        raise ValueError(f"a {type(content).__name__} instead of a {kind.__name__}")
    return content


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")
