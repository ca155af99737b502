"""Saving a `.keras` file that older Keras can load, and loading one that a stranger sent."""

import json
import os
import pathlib
import pickle
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from mai_depth.atomic import atomic_path
from mai_depth.errors import UserError
from mai_depth.model_limits import check_sizes
from mai_depth.model_limits import check_tensors

CONFIG = "config.json"

# Settings that Keras 3.13 to 3.15 added. At these values they change nothing, but an older Keras
# refuses a file that names them.
_NEW_DEFAULTS = {
    "antialias": False,
    "input_axes": None,
    "output_axes": None,
    "optional": False,
    "quantization_config": None,
    "renorm": False,
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
}

# What a model file may name. Keras itself would resolve more, e.g. functions that fetch files.
_TRUSTED_MODULES = frozenset({
    "keras",
    "keras.activations",
    "keras.constraints",
    "keras.dtype_policies",
    "keras.initializers",
    "keras.layers",
    "keras.models",
    "keras.ops",
    "keras.regularizers",
    "keras.src.models.functional",
    "keras.src.models.sequential",
    "builtins",  # Keras' word for its own functions by name, e.g. an activation
})
_TRUSTED_SPECIALS = frozenset({
    "__keras_tensor__", "__tensor__", "__numpy__", "__ellipsis__", "__slice__", "__bytes__"
})
# Layers that run code of the file, run a foreign program or read files of this computer.
_REFUSED_LAYERS = frozenset({
    "__lambda__", "Lambda", "TFSMLayer", "JaxLayer", "FlaxLayer", "TorchModuleWrapper",
    "StringLookup", "IntegerLookup", "TextVectorization",
})
_CONFIG_LIMIT_BYTES = 64 << 20
_BOMB_BYTES = 64 << 20  # a member larger than this ...
_BOMB_RATIO = 50  # ... that is so many times its packed size is no weights: those hardly shrink


def save_model(model: keras.Model, path: str | os.PathLike) -> None:
    """Writes a model as `.keras`: the old file or the complete new one, never a part.

    Without the compile settings, and without the settings that only the newest Keras knows (see
    `portable_config`): Keras 3.9 to 3.15 load it.

    Args:
        model: A Functional model.
        path: The file, with the suffix `.keras`.
    """
    with atomic_path(path) as final:
        raw = final.with_name(f"{final.stem}.raw.keras")
        try:
            model.save(raw)
            _copy_portable(raw, final)
        finally:
            raw.unlink(missing_ok=True)


def _copy_portable(source: pathlib.Path, target: pathlib.Path) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            if member.filename == CONFIG:
                config = portable_config(json.loads(old.read(member)))
                new.writestr(CONFIG, json.dumps(config), zipfile.ZIP_DEFLATED)
                continue
            packed = zipfile.ZipInfo(member.filename, member.date_time)
            packed.compress_type = zipfile.ZIP_DEFLATED  # a fifth smaller: HDF5's tables are
            with old.open(member) as reader, new.open(packed, "w", force_zip64=True) as writer:
                while block := reader.read(1 << 20):
                    writer.write(block)


def portable_config(config: Any) -> Any:
    """Drops the compile settings and what older Keras does not know from a model's config.

    Args:
        config: The content of `config.json`, or a part of it.

    Returns:
        A copy without `compile_config` and without settings of newer Keras at their defaults.
    """
    if isinstance(config, list):
        return [portable_config(value) for value in config]
    if not isinstance(config, dict):
        return config
    return {
        key: portable_config(value)
        for key, value in config.items()
        if key != "compile_config" and not _is_new_default(key, value)
    }


def _is_new_default(key: str, value: Any) -> bool:
    return key in _NEW_DEFAULTS and value == _NEW_DEFAULTS[key]


def load_model(path: str | os.PathLike, trusted_packages: tuple[str, ...] = ()) -> keras.Model:
    """Loads a depth model from a `.keras` file without running anything that the file brings.

    Args:
        path: A `.keras` file; `.h5` and pickles are refused.
        trusted_packages: Further packages whose layers the file may name, e.g. `keras_cv`.

    Returns:
        The model, not compiled, that fulfils `check_depth_model`.

    Raises:
        UserError: The file is missing, not a `.keras` file, broken, unsafe, or not a depth model.
    """
    path = pathlib.Path(path)
    config = read_config(path)
    for node in _named_nodes(config):
        _check_node(node, path, trusted_packages)
    check_sizes(config, path)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many types for a config that it cannot use
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"{path}: Keras {keras.__version__} cannot load the model ({reason}); save it again "
            "with the Keras of this installation"
        ) from error
    check_depth_model(model, path)
    check_tensors(model, path)
    return model


def read_config(path: str | os.PathLike) -> dict:
    """Reads the description of a model; its weights are not loaded, but checked for damage.

    Args:
        path: As in `load_model`.

    Returns:
        The content of its `config.json`.

    Raises:
        UserError: The file is missing, not a `.keras` file, or broken.
    """
    path = pathlib.Path(path)
    _check_kind(path)
    try:
        with zipfile.ZipFile(path) as archive:
            if CONFIG not in archive.namelist():
                raise UserError(f"{path}: a zip file without {CONFIG}, so not a Keras model")
            if archive.getinfo(CONFIG).file_size > _CONFIG_LIMIT_BYTES:
                raise UserError(f"{path}: its {CONFIG} is too large for a model; do not trust it")
            _check_sizes(archive, path)
            broken = archive.testzip()
            if broken:
                raise UserError(f"{path}: {broken} is damaged (CRC); copy the file again")
            return json.loads(archive.read(CONFIG))
    except zipfile.BadZipFile as error:
        raise UserError(f"{path}: truncated or damaged ({error}); copy the file again") from error
    except (ValueError, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path}: damaged inside ({error}); copy the file again") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error


def _check_sizes(archive: zipfile.ZipFile, path: pathlib.Path) -> None:
    for member in archive.infolist():
        if member.file_size > max(_BOMB_BYTES, _BOMB_RATIO * member.compress_size):
            raise UserError(f"{path}: its {member.filename} unpacks to "
                            f"{member.file_size / 1e6:.0f} MB; do not trust it")


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


def _named_nodes(config: Any) -> Iterator[dict]:
    """Every place of a config that names a class or a function, by its own reading or Keras'."""
    stack = [config]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)


def _check_node(node: dict, path: pathlib.Path, trusted_packages: tuple[str, ...]) -> None:
    name, module = str(node["class_name"]), str(node.get("module"))
    if name in _REFUSED_LAYERS:
        raise UserError(f"{path}: holds a {name}, which can run code or read files; not loaded")
    if "module" not in node and name in _TRUSTED_SPECIALS:
        return
    if module in _TRUSTED_MODULES or module.startswith("keras.src.ops."):
        return
    if module.split(".")[0] in trusted_packages:
        return
    raise UserError(f"{path}: names {module}.{name}, which is no stock Keras layer; not loaded")


def check_depth_model(model: keras.Model, path: str | os.PathLike) -> None:
    """Checks that a model turns a picture into depth, and that its weights are numbers.

    Args:
        model: Any Keras model.
        path: Its file, for the message.

    Raises:
        UserError: Not one input [1 or None, height, width, 3] and one output
            [1 or None, height, width, 1], both float32, or a weight is NaN or infinite.
    """
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    fits = (
        inputs and outputs and len(inputs) == len(outputs) == 1
        and len(inputs[0].shape) == len(outputs[0].shape) == 4
        and tuple(inputs[0].shape[1:3]) == tuple(outputs[0].shape[1:3])
        and None not in inputs[0].shape[1:]
        and (inputs[0].shape[3], outputs[0].shape[3]) == (3, 1)
        and all(tensor.shape[0] in (1, None) for tensor in (*inputs, *outputs))
        and all(keras.backend.standardize_dtype(tensor.dtype) == "float32"
                for tensor in (*inputs, *outputs))
    )
    if not fits:
        shapes = [[tuple(tensor.shape) for tensor in side or ()] for side in (inputs, outputs)]
        raise UserError(
            f"{path}: not a depth model: expected one float32 picture [H, W, 3] in and one map "
            f"[H, W, 1] out, found {shapes[0]} in and {shapes[1]} out"
        )
    for variable in model.variables:
        value = keras.ops.convert_to_numpy(variable)
        if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
            raise UserError(f"{path}: weight {variable.path} holds NaN or infinity; train again")
