"""Vision Transformers of keras-cv and keras-hub, and how trained ones fit another picture size."""

import dataclasses
import math
import os
import pathlib
from typing import Any

import h5py
import keras
import numpy as np

from mai_depth.errors import UserError

PATCH_SIZE = 16
_WINDOW_SIZE = 14  # of ViTDet's windowed attention, as its SA-1B weights were trained


@dataclasses.dataclass(frozen=True)
class VitSize:
    """Size of a Vision Transformer (Dosovitskiy et al. 2021); `filters` leave its neck."""

    embed_dim: int
    depth: int
    num_heads: int
    filters: int = 256


def build_vit(size: VitSize, view_size: int) -> keras.Model:
    """Builds `keras_cv.models.ViTDetBackbone` (Li et al. 2022) at random, named `vit`.

    Args:
        size: Its width and depth; the depth a multiple of 4.
        view_size: Side of the square picture, a multiple of 16.

    Returns:
        A model from [batch, view_size, view_size, 3], RGB 0..255, to [batch, view_size / 16,
        view_size / 16, size.filters].
    """
    from keras_cv.models import ViTDetBackbone  # takes seconds, and only a transformer needs it

    # Up to four windows of 14x14 patches, padding them costs more than attending to all patches.
    windowed = view_size // PATCH_SIZE > 2 * _WINDOW_SIZE
    stage = size.depth // 4
    last_of_stages = range(stage - 1, size.depth, stage)
    return ViTDetBackbone(
        include_rescaling=True,
        input_shape=(view_size, view_size, 3),
        patch_size=PATCH_SIZE,
        embed_dim=size.embed_dim,
        depth=size.depth,
        mlp_dim=4 * size.embed_dim,
        num_heads=size.num_heads,
        out_chans=size.filters,
        window_size=_WINDOW_SIZE,
        global_attention_indices=list(last_of_stages if windowed else range(size.depth)),
        name="vit",
    )


def build_hub_vit(size: VitSize, view_size: int) -> keras.Model:
    """Builds `keras_hub.models.ViTBackbone` at random, named `vit`.

    Its trained presets come from ImageNet classification.

    Args:
        size: Its width and depth.
        view_size: Side of the square picture, a multiple of 16.

    Returns:
        A model from [batch, view_size, view_size, 3], RGB -1..1, to [batch, 1 + patches,
        size.embed_dim], the class token first.

    Raises:
        UserError: keras-hub is not installed.
    """
    return import_keras_hub().models.ViTBackbone(
        image_shape=(view_size, view_size, 3),
        patch_size=PATCH_SIZE,
        num_layers=size.depth,
        num_heads=size.num_heads,
        hidden_dim=size.embed_dim,
        mlp_dim=4 * size.embed_dim,
        name="vit",
    )


def import_keras_hub(needed_by: str = "vit_l_hub") -> Any:
    """Imports keras-hub, which only the extra `hub` installs.

    Args:
        needed_by: The preset that needs it, for the message.

    Returns:
        The module.

    Raises:
        UserError: It is not installed.
    """
    try:
        import keras_hub
    except ImportError as error:
        raise UserError(
            f"{needed_by}: keras-hub cannot be imported ({error}); pip install -e '.[hub]'"
        ) from error
    return keras_hub


def download_vit(name: str) -> keras.Model:
    """Fetches a trained transformer by the name of its preset.

    Args:
        name: A preset with weights of `keras_cv.models.ViTDetBackbone` (SA-1B), or of
            `keras_hub.models.ViTBackbone` (ImageNet) with the extra `hub`.

    Returns:
        The transformer at the size it was trained at.

    Raises:
        UserError: There is no such preset, or no network.
    """
    from keras_cv.models import ViTDetBackbone

    known = sorted(ViTDetBackbone.presets_with_weights)
    backbone = ViTDetBackbone
    if name.startswith("vit_"):
        backbone = import_keras_hub().models.ViTBackbone
        known = sorted(backbone.presets)
    if name not in known:
        raise UserError(f"--teacher_weights={name}: neither a .keras or .weights.h5 file nor a "
                        f"preset ({', '.join(known)})")
    try:
        return backbone.from_preset(name)
    except Exception as error:  # the download has exceptions of its own for every kind of failure
        raise UserError(
            f"--teacher_weights={name}: the download failed ({type(error).__name__}); fetch its "
            f"model.weights.h5 elsewhere ({backbone.presets[name]['kaggle_handle']}) and give the "
            "path of that file instead"
        ) from error


@dataclasses.dataclass(frozen=True)
class StoredVit:
    """What a `.weights.h5` file says about the transformer in it.

    `alone`: the file holds nothing else; a teacher holds its transformer one level deeper.
    """

    view_size: int
    depth: int
    alone: bool


def inspect_vit_weights(path: pathlib.Path) -> StoredVit:
    """Finds a transformer of keras-cv or keras-hub in a `.weights.h5` file.

    Args:
        path: The file.

    Returns:
        Its sizes.

    Raises:
        UserError: The file cannot be read or holds none.
    """
    try:
        with h5py.File(path) as file:
            for prefix in ("", "layers/vi_t_det_backbone/", "layers/vi_t_backbone/"):
                layers = file.get(f"{prefix}layers", {})
                if "add_positional_embedding" in layers:
                    side = layers["add_positional_embedding/vars/0"].shape[1]
                    depth = sum("transformer_encoder" in name for name in layers)
                    return StoredVit(side * PATCH_SIZE, depth, not prefix)
                if "vi_t_encoder" in layers:
                    table = layers["vi_t_patching_and_embedding/position_embedding/vars/0"]
                    depth = len(layers["vi_t_encoder/encoder_layers"])
                    return StoredVit(_side(table.shape[0]) * PATCH_SIZE, depth, not prefix)
    except (OSError, RuntimeError, KeyError) as error:
        raise UserError(
            f"--teacher_weights={path}: not a readable HDF5 file; copy it again") from error
    raise UserError(f"--teacher_weights={path}: holds no transformer of keras-cv or keras-hub")


def copy_weights(source: keras.Model, target: keras.Model, origin: str | os.PathLike) -> None:
    """Copies all weights to an equal architecture that may see pictures of another size.

    Tables of absolute and relative positions are interpolated, as ViTDet does.

    Args:
        source: A transformer or a teacher.
        target: The same, changed in place.
        origin: Where the source comes from, for the message.

    Raises:
        UserError: The architectures differ.
    """
    if len(source.weights) != len(target.weights):
        raise misfit(origin, target.name)
    values = []
    for old, new in zip(source.weights, target.weights, strict=True):
        value = keras.ops.convert_to_numpy(old)
        shape = tuple(new.shape)
        tables = new.name in _RESIZE_POSITIONS and old.name == new.name
        if tables and value.shape != shape and value.shape[-1] == shape[-1]:
            value = _RESIZE_POSITIONS[new.name](value, shape)
        if old.name != new.name or value.shape != shape:
            raise misfit(origin, target.name)
        values.append(value)
    target.set_weights(values)


def misfit(origin: str | os.PathLike, name: str) -> UserError:
    """Returns the error for weights of another architecture than that of the model `name`."""
    return UserError(f"--teacher_weights={origin}: not the weights of this architecture ({name}); "
                     "give those of the same transformer")


def _side(positions: int) -> int:
    return math.isqrt(positions - 1)  # keras-hub's class token has a position of its own


def _resize_grid(table: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """[1, side, side, channels] of patches."""
    resized = keras.ops.image.resize(table, shape[1:3], antialias=True)
    return keras.ops.convert_to_numpy(resized)


def _resize_line(table: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """[2 * side - 1, channels] of distances between patches."""
    resized = keras.ops.image.resize(table[None, :, None], (shape[0], 1))
    return keras.ops.convert_to_numpy(resized)[0, :, 0]


def _resize_sequence(table: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """[1 + side^2, channels] of the class token and the patches."""
    old, new, channels = _side(len(table)), _side(shape[0]), table.shape[1]
    patches = _resize_grid(table[1:].reshape(1, old, old, channels), (1, new, new, channels))
    return np.concatenate([table[:1], patches.reshape(-1, channels)])


_RESIZE_POSITIONS = {
    "pos_embed": _resize_grid,
    "rel_pos_h": _resize_line,
    "rel_pos_w": _resize_line,
    "embeddings": _resize_sequence,
}
