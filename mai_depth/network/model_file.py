"""Saving a `.keras` file that older Keras can load, and loading an untrusted one."""

import json
import os
import pathlib
import sys
import tempfile
import zipfile
from typing import Any

import keras
import numpy as np

from mai_depth.atomic import atomic_path
from mai_depth.errors import UserError
from mai_depth.errors import reason_of
from mai_depth.network.model_archive import CONFIG
from mai_depth.network.model_archive import STUDENT_BYTES
from mai_depth.network.model_archive import TEACHER_BYTES
from mai_depth.network.model_archive import read_config
from mai_depth.network.model_limits import check_sizes
from mai_depth.network.model_limits import check_tensors
from mai_depth.network.model_trust import check_config
from mai_depth.network.training_mode import leave_training_mode

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


def save_model(model: keras.Model, path: str | os.PathLike) -> None:
    """Writes a model as `.keras`: the old file or the complete new one, never a part.

    Without the compile settings, and without the settings that only the newest Keras knows (see
    `portable_config`): Keras 3.9 to 3.15 load it. Calling the loaded model gives what
    `predict` gives (see `leave_training_mode`).

    Args:
        model: A Functional model.
        path: The file, with the suffix `.keras`.
    """
    with atomic_path(path) as final:
        raw = final.with_name(f"{final.stem}.raw.keras")
        try:
            model.save(raw)
            config = portable_config(_read_config_member(raw))
            leave_training_mode(config)
            _copy_with(config, raw, final)
        finally:
            raw.unlink(missing_ok=True)


def _read_config_member(path: pathlib.Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(CONFIG))


def _copy_with(config: Any, source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies a model file with another config in it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            if member.filename == CONFIG:
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
        A copy without `compile_config` and without settings of newer Keras at their defaults; the
        settings of classes that are not Keras' own stay as they are.
    """
    if isinstance(config, list):
        return [portable_config(value) for value in config]
    if not isinstance(config, dict):
        return config
    kept = {key: value for key, value in config.items() if key != "compile_config"}
    if str(kept.get("module")).startswith("keras.") and isinstance(kept.get("config"), dict):
        settings = kept["config"].items()
        kept["config"] = {key: value for key, value in settings if not _is_new_default(key, value)}
    return {key: portable_config(value) for key, value in kept.items()}


def _is_new_default(key: str, value: Any) -> bool:
    return key in _NEW_DEFAULTS and value == _NEW_DEFAULTS[key]


def load_model(path: str | os.PathLike, trusted_packages: tuple[str, ...] = ()) -> keras.Model:
    """Loads a depth model from a `.keras` file without running any code in the file.

    Args:
        path: A `.keras` file; `.h5` and pickles are refused.
        trusted_packages: Packages whose listed layers the file may name, e.g. `keras_cv`; a
            teacher, so it may also be larger.

    Returns:
        The model, not compiled, that fulfils `check_depth_model`.

    Raises:
        UserError: The file is missing, not a `.keras` file, broken, unsafe, or not a depth model.
    """
    path = pathlib.Path(path)
    config = read_config(path, TEACHER_BYTES if trusted_packages else STUDENT_BYTES)
    check_config(config, path, trusted_packages)
    check_sizes(config, path)
    try:
        model = _load_mended(path, config)
    except Exception as error:  # Keras raises many types for a config that it cannot use
        reason = reason_of(error)[:200]
        raise UserError(
            f"{path}: Keras {keras.__version__} cannot load the model ({reason}); save it again "
            "with the Keras of this installation"
        ) from error
    check_depth_model(model, path)
    check_tensors(model, path)
    return model


def _load_mended(path: pathlib.Path, config: dict) -> keras.Model:
    """Loads a checked file; calls that would run in training mode are fixed on the way."""
    if not leave_training_mode(config):
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    print(f"{path}: calling this model would have run it in training mode; fixed while loading, "
          "save it again with mai_depth.save_model to fix the file", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        mended = pathlib.Path(folder) / "mended.keras"
        _copy_with(config, path, mended)
        return keras.saving.load_model(mended, compile=False, safe_mode=True)


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
