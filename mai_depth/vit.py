"""Vision Transformers of keras-cv and keras-hub, and how trained ones are carried to a new size."""

import dataclasses
import os
import pathlib
from typing import Any

import h5py
import keras
import numpy as np

from mai_depth.errors import UserError

PATCH_SIZE = 16
_WINDOW_SIZE = 14  # of ViTDet's windowed attention, as its SA-1B weights were trained
_POSITION_TABLES = ("pos_embed", "rel_pos_h", "rel_pos_w")


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


def apply_hub_vit(size: VitSize, view: Any) -> Any:
    """Applies `keras_hub.models.ViTBackbone`, whose presets come from ImageNet classification.

    Args:
        size: Its width and depth.
        view: Keras tensor [batch, side, side, 3], RGB 0..255, the side a multiple of 16.

    Returns:
        Keras tensor [batch, side / 16, side / 16, size.embed_dim].
    """
    side = view.shape[1]
    vit = import_keras_hub().models.ViTBackbone(
        image_shape=(side, side, 3),
        patch_size=PATCH_SIZE,
        num_layers=size.depth,
        num_heads=size.num_heads,
        hidden_dim=size.embed_dim,
        mlp_dim=4 * size.embed_dim,
        name="vit",
    )
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="vit_rescaling")(view)
    x = keras.layers.Cropping1D((1, 0), name="vit_patches")(vit(x))  # without the class token
    grid = side // PATCH_SIZE
    return keras.layers.Reshape((grid, grid, size.embed_dim), name="vit_map")(x)


def import_keras_hub() -> Any:
    """Imports keras-hub, which only the extra `hub` installs.

    Returns:
        The module.

    Raises:
        UserError: It is not installed.
    """
    try:
        import keras_hub
    except ImportError as error:
        raise UserError(
            f"vit_l_hub: keras-hub cannot be imported ({error}); pip install -e '.[hub]'"
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


def inspect_vit_weights(path: pathlib.Path) -> tuple[int, int, bool]:
    """Finds a keras-cv transformer in a `.weights.h5` file.

    Args:
        path: The file.

    Returns:
        The side of its table of positions in patches, its number of blocks, and whether the file
        is of the transformer alone; a teacher holds it one level deeper.

    Raises:
        UserError: The file cannot be read or holds none.
    """
    try:
        with h5py.File(path) as file:
            for prefix in ("layers", "layers/vi_t_det_backbone/layers"):
                table = f"{prefix}/add_positional_embedding/vars/0"
                if table in file:
                    blocks = sum("transformer_encoder" in name for name in file[prefix])
                    return file[table].shape[1], blocks, prefix == "layers"
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"--teacher_weights={path}: not a readable HDF5 file; copy it again") from error
    raise UserError(f"--teacher_weights={path}: holds no weights of a keras-cv ViTDet transformer")


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
        if new.name in _POSITION_TABLES and value.shape[-1] == new.shape[-1]:
            value = _resize_table(value, tuple(new.shape))
        if old.name != new.name or value.shape != tuple(new.shape):
            raise misfit(origin, target.name)
        values.append(value)
    target.set_weights(values)


def misfit(origin: str | os.PathLike, name: str) -> UserError:
    """Returns the error for weights of another architecture than that of the model `name`."""
    return UserError(f"--teacher_weights={origin}: not the weights of this architecture ({name}); "
                     "give those of the same transformer")


def _resize_table(table: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Interpolates [1, side, side, channels] or [distances, channels] positions linearly."""
    if table.shape == shape:
        return table
    if table.ndim == 2:
        resized = keras.ops.image.resize(table[None, :, None], (shape[0], 1))
        return keras.ops.convert_to_numpy(resized)[0, :, 0]
    return keras.ops.convert_to_numpy(keras.ops.image.resize(table, shape[1:3], antialias=True))
