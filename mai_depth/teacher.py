"""The teacher: a Vision Transformer of keras-cv with a light decoder, and any other depth model."""

import dataclasses
import os
import pathlib
import zipfile
from typing import Any

import h5py
import keras
import numpy as np

from mai_depth.backbone import BATCH_NORM_MOMENTUM
from mai_depth.decoder import feature_fusion
from mai_depth.errors import UserError
from mai_depth.model_file import load_model
from mai_depth.student import IMAGE_SIZE
from mai_depth.student import build_student
from mai_depth.student import depth_head

MAP_SIZE = (64, 80)  # `depth_logits` of the student at its default grid: both can be compared
MOBILENET = "mobilenet"
PATCH_SIZE = 16
_WINDOW_SIZE = 14  # of ViTDet's windowed attention, as its SA-1B weights were trained
_POSITION_TABLES = ("pos_embed", "rel_pos_h", "rel_pos_w")


@dataclasses.dataclass(frozen=True)
class Preset:
    """Size of a Vision Transformer (Dosovitskiy et al. 2021) and of its decoder."""

    embed_dim: int
    depth: int
    num_heads: int
    view_size: int
    neck_filters: int
    decoder_filters: tuple[int, int, int]  # after the fusion at strides 8, 4 and 2


PRESETS = {
    "vit_l": Preset(1024, 24, 16, 256, 256, (128, 64, 32)),
    "vit_b": Preset(768, 12, 12, 256, 256, (128, 64, 32)),
    "vit_s": Preset(384, 12, 6, 256, 256, (128, 64, 32)),
    "vit_ti": Preset(192, 12, 3, 160, 128, (96, 64, 32)),
}


def build_teacher(
    preset: str = "vit_l",
    *,
    view_size: int | None = None,
    max_depth_m: float = 40.0,
    weights: str | None = None,
) -> keras.Model:
    """Builds a Vision Transformer with a decoder for depth; offline unless `weights` says else.

    The transformer knows a picture by patches of 16x16 pixels. Three strided convolutions keep the
    detail inside them, and Feature Fusion Modules join the two (as in ViTMatte, Yao et al. 2023).

    Args:
        preset: A key of `PRESETS`, or `mobilenet`: a wide student that sees 256x320 pixels, the
            better teacher where there are hundreds of pictures and not millions.
        view_size: Side of the square that the picture is resized to, a multiple of 16; None takes
            the preset's.
        max_depth_m: The depth that the sigmoid of the head reaches.
        weights: What `load_teacher_weights` takes (for `mobilenet`: `load_encoder_weights`), or
            None for a random start.

    Returns:
        A Functional model from `image` [batch, 480, 640, 3], float32 RGB 0..255, to `depth_m`
        [batch, 480, 640, 1], float32 metres. The layer `view` is where the training pictures
        enter; `depth_logits` is [batch, 64, 80, 1], the map of the student.

    Raises:
        UserError: An unknown preset, a size that has no whole patches, or unusable weights.
    """
    if preset == MOBILENET:
        return _build_mobilenet(max_depth_m, weights)
    if preset not in PRESETS:
        known = ", ".join([*PRESETS, MOBILENET])
        raise UserError(f"--teacher_preset={preset}: unknown; one of {known}")
    view_size = view_size or PRESETS[preset].view_size
    if view_size % PATCH_SIZE or view_size <= 0:
        raise UserError(f"view_size={view_size}: must be a multiple of {PATCH_SIZE}")
    layers = keras.layers
    image = layers.Input((*IMAGE_SIZE, 3), name="image")
    view = layers.Resizing(view_size, view_size, interpolation="bilinear", name="view")(image)
    decoded = _decode(view, build_vit(preset, view_size)(view), PRESETS[preset].decoder_filters)
    model = keras.Model(image, depth_head(decoded, max_depth_m), name=preset)
    if weights is not None:
        load_teacher_weights(model, weights)
    return model


def _build_mobilenet(max_depth_m: float, weights: str | None) -> keras.Model:
    return build_student(
        alpha=1.0, decoder_filters=(96, 64, 32, 16), grid_size=(256, 320), antialias=False,
        max_depth_m=max_depth_m, encoder_weights=weights)


def build_vit(preset: str, view_size: int) -> keras.Model:
    """Builds the transformer alone, `keras_cv.models.ViTDetBackbone` named `vit`.

    Args:
        preset: A key of `PRESETS`, or `mobilenet`: a wide student that sees 256x320 pixels, the
            better teacher where there are hundreds of pictures and not millions.
        view_size: Side of the square picture, a multiple of 16.

    Returns:
        A model from [batch, view_size, view_size, 3], RGB 0..255, to features at stride 16.
    """
    from keras_cv.models import ViTDetBackbone  # seconds, and only a transformer needs it

    size = PRESETS[preset]
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
        out_chans=size.neck_filters,
        window_size=_WINDOW_SIZE,
        global_attention_indices=list(last_of_stages if windowed else range(size.depth)),
        name="vit",
    )


def load_teacher_weights(model: keras.Model, weights: str) -> None:
    """Fills a teacher of `build_teacher` with trained weights.

    The transformer's tables of absolute and relative positions are interpolated when the weights
    were trained on another picture size.

    Args:
        model: The teacher; changed in place.
        weights: A `.keras` file of a teacher, a `.weights.h5` file of a teacher or of the
            transformer alone (the `model.weights.h5` of keras-cv's presets), or the name of a
            keras-cv preset with weights, which is downloaded.

    Raises:
        UserError: No such file or preset, no network, or weights of another architecture.
    """
    if pathlib.Path(weights).suffix in (".keras", ".h5"):
        source = _read_source(model.name, pathlib.Path(weights))
    else:
        source = _download_source(weights)
    target = model if _has_vit(source) else model.get_layer("vit")
    _transfer(source, target, weights)


def load_teacher(path: str | os.PathLike) -> keras.Model:
    """Loads a teacher: any `.keras` file that turns a 480x640 picture into depth.

    Args:
        path: The file, e.g. of `build_teacher` or a student.

    Returns:
        A model from [batch, 480, 640, 3] to [batch, 480, 640, 1] metres, not compiled.

    Raises:
        UserError: The file is missing, damaged, unsafe, or not such a model.
    """
    if _names_keras_cv(path):
        import keras_cv  # noqa: F401  its classes must be registered before the file is read
    model = load_model(path, trusted_packages=("keras_cv",))
    if tuple(model.inputs[0].shape[1:3]) != IMAGE_SIZE:
        raise UserError(
            f"{path}: takes pictures of {model.inputs[0].shape[1:3]}, a teacher must take "
            f"{IMAGE_SIZE}; put a Resizing layer before it"
        )
    return model


def _decode(view: Any, tokens: Any, filters: tuple[int, int, int]) -> Any:
    """Joins the transformer's map with the picture's detail, [batch, 64, 80, filters]."""
    layers = keras.layers
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="detail_rescaling")(view)
    skips = []
    for level, channels in zip(("p1", "p2", "p3"), reversed(filters), strict=True):
        x = _conv(x, channels, strides=2, name=f"detail_{level}")
        skips.append((level, x))
    x = tokens
    for (level, skip), channels in zip(reversed(skips), filters, strict=True):
        x = feature_fusion(x, skip, channels, level)
        if x.shape[1] >= MAP_SIZE[0]:
            break  # finer than the map: the work would be thrown away
    x = layers.Resizing(*MAP_SIZE, interpolation="bilinear", name="decoder_resize")(x)
    return _conv(x, filters[-1], strides=1, name="decoder_refine")


def _conv(x: Any, filters: int, *, strides: int, name: str) -> Any:
    layers = keras.layers
    x = layers.Conv2D(
        filters, 3, strides, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _has_vit(model: keras.Model) -> bool:
    return any(layer.name == "vit" for layer in model.layers)


def _names_keras_cv(path: str | os.PathLike) -> bool:
    """Tells whether a model file uses layers of keras-cv; what is wrong with it shows later."""
    try:
        with zipfile.ZipFile(path) as archive:
            return b"keras_cv" in archive.read("config.json")
    except (OSError, KeyError, zipfile.BadZipFile):
        return False


def _read_source(preset: str, path: pathlib.Path) -> keras.Model:
    """Reads a file into a teacher or a transformer of the file's own picture size."""
    if not path.is_file():
        raise UserError(f"--teacher_weights={path}: no such file")
    if path.suffix == ".keras":
        return load_teacher(path)
    grid, blocks, alone = _transformer_inside(path)
    if blocks != PRESETS[preset].depth:  # Keras itself would leave out what is too much
        raise _misfit(path, preset)
    view_size = grid * PATCH_SIZE
    source = build_vit(preset, view_size) if alone else build_teacher(preset, view_size=view_size)
    try:
        source.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise _misfit(path, preset) from error
    return source


def _transformer_inside(path: pathlib.Path) -> tuple[int, int, bool]:
    """Returns the side of the position table, the blocks, and whether a `.weights.h5` is a ViT's.

    A teacher holds its transformer one level deeper.
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


def _download_source(name: str) -> keras.Model:
    from keras_cv.models import ViTDetBackbone

    known = sorted(ViTDetBackbone.presets_with_weights)
    if name not in known:
        raise UserError(
            f"--teacher_weights={name}: neither a .keras or .weights.h5 file nor a preset of "
            f"keras-cv ({', '.join(known)})"
        )
    try:
        return ViTDetBackbone.from_preset(name)
    except Exception as error:  # the download has exceptions of its own for every kind of failure
        raise UserError(
            f"--teacher_weights={name}: the download failed ({type(error).__name__}); fetch the "
            f"preset's model.weights.h5 elsewhere ("
            f"{ViTDetBackbone.presets[name]['kaggle_handle']}) and give its path instead"
        ) from error


def _transfer(source: keras.Model, target: keras.Model, origin: str) -> None:
    """Copies all weights of an equal architecture, position tables at any size."""
    values = []
    if len(source.weights) != len(target.weights):
        raise _misfit(origin, target.name)
    for old, new in zip(source.weights, target.weights, strict=True):
        value = keras.ops.convert_to_numpy(old)
        if old.name != new.name:
            raise _misfit(origin, target.name)
        if old.name in _POSITION_TABLES and value.shape[-1] == new.shape[-1]:
            value = _resize_table(value, new.shape)
        if value.shape != tuple(new.shape):
            raise _misfit(origin, target.name)
        values.append(value)
    target.set_weights(values)


def _resize_table(table: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Interpolates [1, side, side, channels] or [distances, channels] positions linearly."""
    if table.shape == tuple(shape):
        return table
    if table.ndim == 2:
        resized = keras.ops.image.resize(table[None, :, None], (shape[0], 1))
        return keras.ops.convert_to_numpy(resized)[0, :, 0]
    return keras.ops.convert_to_numpy(keras.ops.image.resize(table, shape[1:3], antialias=True))


def _misfit(origin: str | os.PathLike, name: str) -> UserError:
    return UserError(f"--teacher_weights={origin}: not the weights of this architecture ({name}); "
                     "give those of the same transformer")
