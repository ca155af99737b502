"""The trained networks shipped with the package, described by `pretrained/index.json`.

The index is a list of `{"name", "file", "sha256", "metrics", "recipe", "license",
"focal_length"}`; `metrics` holds `data` and the numbers of `mai_depth.metrics`, `focal_length` is
that of the camera for which a network answers, in picture widths. Importing this module loads no
TensorFlow.
"""

import hashlib
import importlib.util
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

from mai_depth.atomic import write_bytes_atomic
from mai_depth.atomic import write_json_atomic
from mai_depth.checksum import check_sha256
from mai_depth.checksum import file_sha256
from mai_depth.depth import CANONICAL_FOCAL_LENGTH
from mai_depth.errors import UserError
from mai_depth.json_file import read_json
from mai_depth.metrics import NAMES
from mai_depth.network.download import DEFAULT_CACHE_DIR
from mai_depth.network.download import fetch
from mai_depth.network.download import is_url

if TYPE_CHECKING:
    import keras

FOLDER = pathlib.Path(__file__).parent.parent / "pretrained"

_INDEX = "index.json"
_REINSTALL = "install mai_depth again"
# Beside a .keras: what exports and the quantized training read of the training.
_KEPT_OF_TRAINING = ("builder", "recipe", "max_depth_m", "metrics", "sources")
_DATA = ("NYU Depth V2, 80 pictures of the official training split in eight blocks, no scene of "
         "them trained on; 480x640, per image")
_NYU_LICENSE = ("Weights trained on NYU Depth V2 (Silberman et al., ECCV 2012), a research data "
                "set, from Keras' ImageNet weights; indoor scenes, 0.7-10 m.")


def list_pretrained() -> list[dict[str, Any]]:
    """Describes the networks shipped with the package.

    Returns:
        Their entries of the index: `name`, `file`, `sha256`, `metrics`, `recipe`, `license`,
        `focal_length`.

    Raises:
        UserError: The index is missing or broken.
    """
    path = FOLDER / _INDEX
    try:
        entries = read_json(path, list)
        if not all({"name", "file", "sha256", "metrics"} <= entry.keys() for entry in entries):
            raise ValueError("an entry without name, file, sha256 or metrics")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: broken ({error}); {_REINSTALL}") from error
    return entries


def pretrained_path(name: str) -> pathlib.Path:
    """Finds the file of a network, `.keras` or `.tflite`, and checks that it is intact.

    Args:
        name: A `name` of `list_pretrained`, for instance `nyuv2_student_90m`.

    Returns:
        The file.

    Raises:
        UserError: No such network, or its file is missing or damaged.
    """
    entries = {entry["name"]: entry for entry in list_pretrained()}
    if name not in entries:
        names = ", ".join(sorted(entries)) or "none yet"
        raise UserError(f"{name}: no such pretrained network; there are: {names}")
    path = FOLDER / entries[name]["file"]
    check_sha256(path, entries[name]["sha256"], _REINSTALL)
    return path


def is_pretrained(path: str | os.PathLike) -> bool:
    """Tells whether a file is one of the shipped networks, wherever it lies.

    Args:
        path: An existing file.

    Returns:
        Whether its sha256 stands in the index.
    """
    return bool(forms_of(file_sha256(path)))


def forms_of(sha256: str) -> set[str]:
    """Finds a shipped network in floats and in integers.

    Args:
        sha256: Of either file.

    Returns:
        The checksums of both; empty if no such network is shipped.
    """
    networks = {entry["sha256"]: entry["name"].removesuffix("_int8") for entry in list_pretrained()}
    return {other for other, name in networks.items() if name == networks.get(sha256)}


def is_name(value: str) -> bool:
    """Whether a value that may be a path or a network's name can be a name: a bare word."""
    return "." not in value and "/" not in value


def named_file(
    value: str, suffix: str | None = None, flag: str = "model"
) -> pathlib.Path | None:
    """Finds the file of a network by its name, where a path may be given as well.

    Args:
        value: A `name` of `list_pretrained`, or a path.
        suffix: What can be run; `.tflite` takes a network's integers, `NAME_int8`, for NAME.
        flag: By which the user has given it.

    Returns:
        The network's file, `.keras` or `.tflite`; None for a path, also for a file whose name is
        a bare word.

    Raises:
        UserError: Neither a file nor a network has that name, or its file is missing or damaged.
    """
    if not is_name(value) or os.path.isfile(value):
        return None
    files = {entry["name"]: entry["file"] for entry in list_pretrained()}
    if value not in files:
        raise _no_such_network(flag, value, sorted(files))
    integers = f"{value}_int8"
    if suffix == ".tflite" and not files[value].endswith(suffix) and integers in files:
        return pretrained_path(integers)
    return pretrained_path(value)


def suffix_that_runs() -> str:
    """`.keras`, or without TensorFlow `.tflite`."""
    return ".tflite" if importlib.util.find_spec("tensorflow") is None else ".keras"


def _no_such_network(flag: str, value: str, names: Sequence[str]) -> UserError:
    return UserError(f"--{flag}={value}: no such file or pretrained network; there are: "
                     f"{', '.join(names)}")


def encoder_file(value: str | None) -> str | None:
    """Resolves the name of a network in the place where an encoder starts.

    Args:
        value: A `name` of `list_pretrained` whose file is a `.keras`, or whatever else
            `build_student` takes as `encoder_weights`.

    Returns:
        The network's file, or `value` where that is not a name.

    Raises:
        UserError: No such network, or its file is damaged.
    """
    if value in (None, "imagenet"):
        return value
    return network_file(value, "encoder_weights", "imagenet", "none")


def network_file(value: str, flag: str, *others: str) -> str:
    """Resolves a network's name where a `.keras` file may be given as well.

    Args:
        value: A `name` of `list_pretrained` whose file is a `.keras`, or a path.
        flag: By which the user has given it.
        *others: What else the flag takes, for the message.

    Returns:
        The network's file, or `value` where that is not a name.

    Raises:
        UserError: No such network, or its file is damaged.
    """
    if not is_name(value):
        return value
    known = [entry["name"] for entry in list_pretrained() if entry["file"].endswith(".keras")]
    if value not in known:
        if os.path.isfile(value):
            return value
        raise _no_such_network(flag, value, [*others, *sorted(known)])
    return os.fspath(pretrained_path(value))


def load_pretrained(
    name: str, *, sha256: str | None = None, cache_dir: str | os.PathLike = DEFAULT_CACHE_DIR
) -> "keras.Model":
    """Loads a trained network: one shipped with the package, a file, or a URL.

    Args:
        name: A `name` of `list_pretrained`, which needs no download, or the path or URL (http,
            https) of a `.keras` file.
        sha256: Of the file; a URL is refused without.
        cache_dir: Where a download is kept; the next call does not repeat it.

    Returns:
        The model, not compiled: `image` [batch, 480, 640, 3] float32 RGB 0..255 to `depth_m`
        [batch, 480, 640, 1] float32 metres.

    Raises:
        UserError: No such network, it is a `.tflite`, or its file is damaged or does not match
            `sha256`.
    """
    if is_url(name):
        path = fetch(name, sha256, cache_dir)
    else:
        path = pretrained_path(name) if is_name(name) else pathlib.Path(name).expanduser()
        if sha256:
            check_sha256(path, sha256.lower(), "give the file that is meant")
    if is_name(name) and path.suffix != ".keras":
        raise UserError(f"{name}: a {path.suffix} file, not a Keras model; "
                        f"pretrained_path({name!r}) names it for an interpreter")
    from mai_depth.network.model_file import load_model

    return load_model(path)


def default_pretrained(suffix: str | None = None) -> str:
    """Names the network that is used where none is asked for: the first that can run here.

    Args:
        suffix: `.keras` or `.tflite`; None for `suffix_that_runs`.

    Returns:
        The first of `list_pretrained` with that suffix.

    Raises:
        UserError: There is none.
    """
    suffix = suffix or suffix_that_runs()
    usable = [entry["name"] for entry in list_pretrained() if entry["file"].endswith(suffix)]
    if not usable:
        raise UserError(f"--model: this package brings no trained {suffix} network; give a .keras "
                        "or .tflite file")
    return usable[0]


def add_pretrained(
    name: str, source: str | os.PathLike, measured: str | os.PathLike, *, recipe: str,
    license_text: str = _NYU_LICENSE,
) -> dict[str, Any]:
    """Puts a network that was measured on NYU Depth V2 into the package; for maintainers.

    Args:
        name: Name for `load_pretrained` or `pretrained_path`; an older network of it is replaced.
        source: The `.keras` or `.tflite` file.
        measured: Where its metrics on the validation pictures stand: of a `.keras` the `.json` of
            its training, of a `.tflite` what `python -m benchmark --graph=SOURCE --data_dir=NYUV2
            --json=FILE` wrote.
        recipe: The flags that it was trained with.
        license_text: What it was trained on, and under which terms that is.

    Returns:
        Its entry of the index.

    Raises:
        UserError: A file cannot be read, or the metrics are those of another file.
    """
    source = pathlib.Path(source)
    try:
        content = source.read_bytes()
        record = read_json(measured)
        row = record["metrics"] if source.suffix == ".keras" else record["rows"][0]
        metrics = {key: round(row[key], 4) for key in (*NAMES, "images")}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{source}, {measured}: cannot be used ({error!r})") from error
    sha256 = hashlib.sha256(content).hexdigest()
    if source.suffix != ".keras" and row.get("sha256") != sha256:
        raise UserError(f"{measured}: measured another file than {source}; measure it again")
    entry = {"name": name, "file": name + source.suffix, "sha256": sha256,
             "metrics": {"data": _DATA, **metrics}, "recipe": recipe, "license": license_text,
             "focal_length": CANONICAL_FOCAL_LENGTH}
    entries = {old["name"]: old for old in list_pretrained()} | {name: entry}
    write_bytes_atomic(FOLDER / entry["file"], content)
    if source.suffix == ".keras":
        kept = {key: record[key] for key in _KEPT_OF_TRAINING if key in record}
        if "builder" in kept:  # the path of the start reveals the machine that trained
            paths = {"encoder_weights",
                     *({"prune_from", "student_weights"} & kept["builder"].keys())}
            kept["builder"] = {**kept["builder"], **dict.fromkeys(paths)}
        write_json_atomic(
            FOLDER / f"{name}.json", {**kept, "focal_length": CANONICAL_FOCAL_LENGTH})
    write_json_atomic(FOLDER / _INDEX, list(entries.values()))
    return entry
