"""Paths as a user types them."""

import errno
import os
import pathlib
from typing import Any

from mai_depth.errors import UserError


def expand(value: str, flag: str) -> pathlib.Path:
    """Replaces `~` and `~name` by the home folder.

    Args:
        value: A path; it need not exist.
        flag: The flag that it was given by, for the message.

    Returns:
        The path.

    Raises:
        UserError: There is no such home folder (a folder called `~name` would be made), or no file
            can have this name.
    """
    path = os.path.expanduser(value)
    if path.startswith("~"):
        name = value.partition("/")[0]
        raise UserError(f"--{flag}={value}: no home folder is known for {name}; write the path "
                        f"in full (./{value} for a file of that name)")
    try:
        os.lstat(path)
    except FileNotFoundError:
        pass
    except ValueError:
        raise UserError(f"--{flag}={value}: holds a NUL character; remove it") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UserError(f"--{flag}={value[:40]}...: too long for a path; shorten it") from error
    return pathlib.Path(path)


def flag_path(flag: Any) -> pathlib.Path | None:
    """Expands the path in a flag.

    Args:
        flag: Anything with a `name` and a `value`, as absl's flags.

    Returns:
        The path; None where the flag is not given or empty.

    Raises:
        UserError: As `expand`.
    """
    return expand(flag.value, flag.name) if flag.value else None
