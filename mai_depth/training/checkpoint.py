"""Crash-safe state: a training killed at any moment continues as if nothing had happened.

After each epoch one file `NAME-0007.state` is written beside `NAME.keras`; the last two are kept.
It holds every array that the training changes and, in its first line (JSON, see `head -1`),
everything else. The last 64 characters are the sha256 of what precedes them. No pickle, no code.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import re
import warnings
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np

from mai_depth.atomic import atomic_path
from mai_depth.errors import UserError
from mai_depth.errors import UserNotice

KEPT = 2

_FORMAT = 2
_DIGEST_BYTES = 64
_BLOCK_BYTES = 1 << 24


@dataclasses.dataclass(frozen=True)
class State:
    """A training between two epochs.

    Attributes:
        epoch: Number of complete epochs.
        identity: Everything that determines the result, see `identity_of`.
        arrays: The values of all variables, in the training's order.
        rows: The log so far, one row per epoch.
        metrics: Metrics of the averaged model on the validation pictures.
        halvings: How often the learning rate was halved.
    """

    epoch: int
    identity: dict[str, Any]
    arrays: Sequence[np.ndarray]
    rows: list[dict[str, float]]
    metrics: dict[str, float]
    halvings: int = 0


def identity_of(description: Mapping[str, Any]) -> dict[str, Any]:
    """Flattens nested settings, as JSON returns them; runs of equal identity are the same run.

    Args:
        description: Nested dicts; a setting's name is its last key.

    Returns:
        Settings by name.
    """
    flat = {}
    for key, value in json.loads(json.dumps(description)).items():
        flat |= identity_of(value) if isinstance(value, dict) else {key: value}
    return flat


def require_same(path: pathlib.Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuses to continue a run under other settings.

    Args:
        path: The model's file, for the message.
        then: `identity_of` the run in that folder.
        now: `identity_of` the requested run.

    Raises:
        UserError: They differ; the message names each setting, then and now.
    """
    changes = [
        f"{key} was {_shown(then.get(key))}, is {_shown(now.get(key))}"
        for key in sorted(then.keys() | now.keys())
        if then.get(key) != now.get(key)
    ]
    if changes:
        raise UserError(
            f"{path.parent}: holds another run ({'; '.join(changes)}); give the same flags to "
            "continue it, --overwrite to replace it, or another --workdir"
        )


def _shown(value: Any) -> str:
    return str(value)[:12] if isinstance(value, str) and len(value) == 64 else str(value)


def state_paths(path: pathlib.Path) -> list[pathlib.Path]:
    """Lists the states of the model file `path`, oldest first."""
    pattern = re.compile(re.escape(path.stem) + r"-(\d{4,})\.state")
    found = {}
    for name in os.listdir(path.parent) if path.parent.is_dir() else []:
        if match := pattern.fullmatch(name):
            found[int(match[1])] = path.with_name(name)
    return [found[epoch] for epoch in sorted(found)]  # by epoch: a clock may be wrong


def remove_states(path: pathlib.Path) -> None:
    """Removes the states of the model file `path`, oldest first."""
    for state in state_paths(path):
        state.unlink(missing_ok=True)


def save_state(path: pathlib.Path, state: State) -> None:
    """Writes a state beside the model file `path` and removes all but the last two.

    Args:
        path: The `.keras` file of the training.
        state: The state to write.

    Raises:
        OSError: The disk is full or cannot be written; all earlier states are then untouched.
    """
    target = path.with_name(f"{path.stem}-{state.epoch:04d}.state")
    with atomic_path(target) as temporary, open(temporary, "wb") as file:
        digest = hashlib.sha256()
        for block in _blocks(state):
            digest.update(block)
            file.write(block)
        file.write(digest.hexdigest().encode())
    for old in state_paths(path)[:-KEPT]:
        old.unlink(missing_ok=True)


def state_bytes(arrays: Sequence[Any]) -> int:
    """The size in bytes of a state with these arrays or variables, and 1 MB for the rest."""
    sizes = (np.dtype(array.dtype).itemsize * np.prod(array.shape) for array in arrays)
    return int(sum(sizes)) + (1 << 20)


def _blocks(state: State) -> Iterator[bytes]:
    arrays = [np.ascontiguousarray(array) for array in state.arrays]
    header = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    header["format"] = _FORMAT
    header["arrays"] = [[array.dtype.str, np.shape(value)]
                        for array, value in zip(arrays, state.arrays, strict=True)]
    yield json.dumps(header).encode() + b"\n"
    for array in arrays:
        yield array.tobytes()


def load_state(path: pathlib.Path) -> State | None:
    """Reads the newest intact state of the model file `path`.

    Args:
        path: The `.keras` file of the training.

    Returns:
        The state, its arrays mapped from the file, or None if there is none. A damaged one is
        skipped with a warning.

    Raises:
        UserError: All states are damaged.
    """
    paths = state_paths(path)[::-1]
    for state in paths:
        try:
            return read_state(state)
        except UserError as error:
            warnings.warn(f"{error}; looking for an earlier state", UserNotice, stacklevel=2)
    if paths:
        raise UserError(f"{paths[0]}: damaged, and no earlier state is intact; --overwrite trains "
                        "from the start")
    return None


def read_state(path: pathlib.Path) -> State:
    """Reads one state file.

    Args:
        path: The file.

    Returns:
        The state; its arrays are mapped, not read.

    Raises:
        UserError: The file is damaged, cannot be read, or was written by another version.
    """
    try:
        with open(path, "rb") as file:
            _check_digest(file, path)
            header = json.loads(file.readline())
            start = file.tell()
        if header.pop("format") != _FORMAT:
            raise UserError(f"{path}: written by another version; --overwrite starts again")
        data = np.memmap(path, np.uint8, "r")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    arrays = []
    for dtype, shape in header.pop("arrays"):
        dtype, count = np.dtype(dtype), int(np.prod(shape, dtype=np.int64))
        arrays.append(np.frombuffer(data, dtype, count, start).reshape(shape))
        start += count * dtype.itemsize
    return State(arrays=arrays, **header)


def _check_digest(file: Any, path: pathlib.Path) -> None:
    """Compares the content with its sha256 and rewinds the file."""
    left = os.fstat(file.fileno()).st_size - _DIGEST_BYTES
    digest = hashlib.sha256()
    while left > 0 and (block := file.read(min(left, _BLOCK_BYTES))):
        digest.update(block)
        left -= len(block)
    if file.read() != digest.hexdigest().encode():
        raise UserError(f"{path}: damaged (its sha256 does not match)")
    file.seek(0)
