"""Checks of what a `.keras` file holds, before anything in it is unpacked or trusted."""

import io
import json
import math
import os
import pathlib
import pickle
import zipfile
import zlib
from typing import Any

from mai_depth.errors import UserError
from mai_depth.errors import reason_of

CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
# All that Keras writes for layers without files of their own; `model_trust` allows no others.
_MEMBERS = frozenset({"metadata.json", CONFIG, WEIGHTS})
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # Keras' and ours

STUDENT_BYTES = 2 << 30  # a student has a few MB; 2 GiB would be half a billion weights
TEACHER_BYTES = 8 << 30  # vit_l has 1.2 GB, and three times that with the optimizer it was saved by
_CONFIG_BYTES = 64 << 20
_BOMB_BYTES = 64 << 20  # what is larger than this ...
_BOMB_RATIO = 50  # ... and that many times its packed size is not weights: those hardly shrink


def read_config(path: str | os.PathLike, limit_bytes: int = STUDENT_BYTES) -> dict:
    """Reads the description of a model; its weights are not loaded, but checked for damage.

    Args:
        path: A `.keras` file.
        limit_bytes: What all of it may unpack to, `STUDENT_BYTES` or `TEACHER_BYTES`.

    Returns:
        The content of its `config.json`.

    Raises:
        UserError: The file is missing, not a `.keras` file, broken, or a zip bomb.
    """
    path = pathlib.Path(path)
    _check_kind(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_names(archive, path)
            _check_sizes(archive, path, limit_bytes)
            # Reading a member to its end compares its checksum.
            content = {name: archive.read(name) for name in archive.namelist()}
        if WEIGHTS in content:
            _check_weights(content[WEIGHTS], path)
        return json.loads(content[CONFIG])
    except zipfile.BadZipFile as error:
        raise UserError(f"{path}: truncated or damaged ({error}); copy the file again") from error
    except (ValueError, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path}: damaged inside ({error}); copy the file again") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except MemoryError as error:
        raise UserError(f"{path}: this computer has too little memory for the model") from error


def _check_kind(path: pathlib.Path) -> None:
    if not path.exists():
        raise UserError(f"{path}: no such file")
    if not path.is_file():
        raise UserError(f"{path}: not a file; a model is one .keras file")
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if head.startswith(b"\x89HDF"):
        raise UserError(f"{path}: an HDF5 file; only .keras files are read, save the model as one")
    if head.startswith(pickle.PROTO):
        raise UserError(f"{path}: a pickle, which could run any program; only .keras is read")
    if path.suffix != ".keras":
        raise UserError(f"{path}: not a .keras file; save the model with the suffix .keras")
    if not head:
        raise UserError(f"{path}: empty; copy the file again")
    if not head.startswith(b"PK"):
        raise UserError(f"{path}: not a .keras file (those are zip archives)")


def _check_names(archive: zipfile.ZipFile, path: pathlib.Path) -> None:
    """Keras unpacks everything into TMPDIR as soon as there is a fourth member."""
    names = set()
    for member in archive.infolist():
        if member.filename not in _MEMBERS:
            raise UserError(f"{path}: holds {ascii(member.filename)[1:-1][:100]}, which no depth "
                            "model needs; do not trust it")
        if member.filename in names:
            raise UserError(f"{path}: holds {member.filename} twice; do not trust it")
        if member.compress_type not in _METHODS:
            raise UserError(f"{path}: its {member.filename} is packed in a way that Keras never "
                            "uses; save the model again")
        names.add(member.filename)
    if CONFIG not in names:
        raise UserError(f"{path}: a zip file without {CONFIG}, so not a Keras model")


def _check_sizes(archive: zipfile.ZipFile, path: pathlib.Path, limit_bytes: int) -> None:
    if archive.getinfo(CONFIG).file_size > _CONFIG_BYTES:
        raise UserError(f"{path}: its {CONFIG} is too large for a model; do not trust it")
    for member in archive.infolist():
        if member.file_size > max(_BOMB_BYTES, _BOMB_RATIO * member.compress_size):
            raise UserError(f"{path}: its {member.filename} unpacks to "
                            f"{member.file_size / 1e6:.0f} MB; do not trust it")
    total = sum(member.file_size for member in archive.infolist())
    # The size on disk: members that share their packed bytes would count them more than once.
    limit = min(limit_bytes, max(_BOMB_BYTES, _BOMB_RATIO * path.stat().st_size))
    if total > limit:
        raise UserError(f"{path}: unpacks to {total / 1e6:.0f} MB, more than the "
                        f"{limit / 1e6:.0f} MB of a model; do not trust it")


def _check_weights(content: bytes, path: pathlib.Path) -> None:
    """Refuses arrays that claim more bytes than there are: Keras allocates what they claim."""
    import h5py  # not above: a board without TensorFlow has none, and is told so in one line

    def check(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        if item.dtype.hasobject:
            raise UserError(f"{path}: cannot load the model ({ascii(name)[1:-1][:100]} of its "
                            f"{WEIGHTS} holds no numbers); do not trust it")
        claimed = math.prod(item.shape or ()) * item.dtype.itemsize
        if claimed > len(content):
            raise UserError(f"{path}: cannot load the model ({ascii(name)[1:-1][:100]} of its "
                            f"{WEIGHTS} claims {claimed / 1e6:.0f} MB, more than the file has); do "
                            "not trust it")

    try:
        with h5py.File(io.BytesIO(content)) as file:
            file.visititems(check)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        reason = reason_of(error)[:200]
        raise UserError(f"{path}: its {WEIGHTS} is damaged inside ({reason}); copy the file "
                        "again") from error
