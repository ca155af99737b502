"""The teacher: a Vision Transformer with a light decoder, or any other depth model."""

import dataclasses
import os
import pathlib
from typing import Any

import keras

from mai_depth.errors import UserError
from mai_depth.network.backbone import BATCH_NORM_MOMENTUM
from mai_depth.network.decoder import feature_fusion
from mai_depth.network.depth_anything import LICENSES as DEPTH_ANYTHING
from mai_depth.network.depth_anything import is_relative
from mai_depth.network.depth_anything import load_depth_anything
from mai_depth.network.efficientnet_lite import SIZES
from mai_depth.network.efficientnet_lite import build_efficientnet_lite
from mai_depth.network.efficientnet_lite import load_imagenet
from mai_depth.network.model_file import load_model
from mai_depth.network.resize import resized
from mai_depth.network.student import IMAGE_SIZE
from mai_depth.network.student import build_student
from mai_depth.network.student import depth_head
from mai_depth.network.vit import PATCH_SIZE
from mai_depth.network.vit import VitSize
from mai_depth.network.vit import build_hub_vit
from mai_depth.network.vit import build_vit
from mai_depth.network.vit import copy_weights
from mai_depth.network.vit import download_vit
from mai_depth.network.vit import inspect_vit_weights
from mai_depth.network.vit import misfit

MAP_SIZE = (64, 80)  # `depth_logits` of the student at its default grid: both can be compared


@dataclasses.dataclass(frozen=True)
class Preset:
    """A transformer, the side of the square picture that it sees, and the decoder's channels."""

    vit: VitSize
    view_size: int = 256
    decoder_filters: tuple[int, int, int] = (128, 64, 32)  # after strides 8, 4 and 2
    hub: bool = False


PRESETS = {
    "vit_l": Preset(VitSize(1024, 24, 16)),
    "vit_b": Preset(VitSize(768, 12, 12)),
    "vit_s": Preset(VitSize(384, 12, 6)),
    "vit_ti": Preset(VitSize(192, 12, 3, 128), 160, (96, 64, 32)),
    "vit_l_hub": Preset(VitSize(1024, 24, 16), 224, hub=True),  # 224: the size of its presets
}
WIDE_STUDENT = "mobilenet"
WIDE_GRID = (256, 320)  # what the convolutional teachers see


def build_teacher(
    preset: str = "vit_l",
    *,
    view_size: int | None = None,
    max_depth_m: float = 40.0,
    weights: str | None = None,
) -> keras.Model:
    """Builds a Vision Transformer with a decoder for depth; offline unless `weights` says else.

    The transformer knows a picture by patches of 16x16 pixels. Strided convolutions keep the detail
    inside them, and Feature Fusion Modules join the two (as in ViTMatte, Yao et al. 2023). The
    convolutions reach the patches' stride as well: they learn in minutes what a transformer that
    starts at random needs hours for.

    Args:
        preset: A key of `PRESETS` or of `efficientnet_lite.SIZES`, or `mobilenet` for a student of
            full width; convolutions at 256x320 need far fewer pictures than a transformer.
        view_size: Side of the square that the picture is resized to, a multiple of 16; None takes
            the preset's.
        max_depth_m: The depth that the sigmoid of the head reaches.
        weights: What `load_teacher_weights` takes (for `mobilenet`: what `build_student` takes as
            `encoder_weights`; for EfficientNet-Lite: `imagenet` or a `.pth` file), or None for a
            random start.

    Returns:
        A Functional model from `image` [batch, 480, 640, 3], float32 RGB 0..255, to `depth_m`
        [batch, 480, 640, 1], float32 metres. The layer `view` is where the training pictures
        enter; `depth_logits` is [batch, 64, 80, 1], the map of the student
        (of `mobilenet`: [batch, 128, 160, 1]).

    Raises:
        UserError: An unknown preset, a size that has no whole patches, or unusable weights.
    """
    if preset == WIDE_STUDENT:
        return build_student(
            alpha=1.0, decoder_filters=(96, 64, 32, 16), max_depth_m=max_depth_m,
            grid_size=WIDE_GRID, antialias=False, encoder_weights=weights)
    if preset in SIZES:
        return _efficientnet_teacher(preset, max_depth_m, weights)
    if preset not in PRESETS:
        known = ", ".join((*PRESETS, *SIZES, WIDE_STUDENT))
        raise UserError(f"--teacher_preset={preset}: unknown; one of {known}")
    settings = PRESETS[preset]
    view_size = view_size or settings.view_size
    if view_size % PATCH_SIZE or view_size < PATCH_SIZE:
        raise UserError(f"view_size={view_size}: must be a multiple of {PATCH_SIZE}")
    image = keras.layers.Input((*IMAGE_SIZE, 3), name="image")
    view = resized(image, (view_size, view_size), name="view")
    patches = (_hub_patches if settings.hub else _patches)(view, settings.vit)
    decoded = _decode(view, patches, settings.decoder_filters)
    model = keras.Model(image, depth_head(decoded, max_depth_m), name=preset)
    if weights is not None:
        load_teacher_weights(model, weights)
    return model


def load_teacher_weights(model: keras.Model, weights: str) -> None:
    """Fills a teacher of `build_teacher` with trained weights.

    The transformer's tables of absolute and relative positions are interpolated when the weights
    were trained on another picture size.

    Args:
        model: The teacher; changed in place.
        weights: A `.keras` file of a teacher, a `.weights.h5` file of a teacher or of the
            transformer alone (the `model.weights.h5` of the presets), or the name of a preset of
            keras-cv or keras-hub, which is downloaded.

    Raises:
        UserError: No such file or preset, no network, or weights of another architecture.
    """
    path = pathlib.Path(weights)
    if path.suffix not in (".keras", ".h5"):
        source = download_vit(weights)
    elif not path.is_file():
        raise UserError(f"--teacher_weights={path}: no such file")
    elif path.suffix == ".keras":
        source = load_teacher(path)
    else:
        source = _read_weights(model.name, path)
    has_vit = any(layer.name == "vit" for layer in source.layers)
    copy_weights(source, model if has_vit else model.get_layer("vit"), weights)


def load_teacher(source: str | os.PathLike, *, allow_relative: bool = False) -> keras.Model:
    """Loads a teacher: any `.keras` file that turns a 480x640 picture into depth, or a preset.

    Args:
        source: The file, e.g. of `build_teacher` or a student; or the name of a Depth Anything
            preset (`depth_anything.LICENSES`), whose weights are downloaded.
        allow_relative: Accept a teacher that answers with inverse depth of no unit, see
            `depth_anything.is_relative`.

    Returns:
        A model from [batch, 480, 640, 3] to [batch, 480, 640, 1] metres, not compiled.

    Raises:
        UserError: The file is missing, damaged, unsafe, or not such a model; no download.
    """
    if source in DEPTH_ANYTHING:
        model = load_depth_anything(os.fspath(source))
    else:
        model = load_model(source, trusted_packages=("keras_cv", "keras_hub"))
    if tuple(model.inputs[0].shape[1:3]) != IMAGE_SIZE:
        raise UserError(
            f"{source}: takes pictures of {model.inputs[0].shape[1:3]}, a teacher must take "
            f"{IMAGE_SIZE}; put a Resizing layer before it"
        )
    if is_relative(model) and not allow_relative:
        raise UserError(f"{source}: answers with inverse depth of no unit, but metres are needed; "
                        "give a --teacher that answers in metres")
    return model


def _efficientnet_teacher(preset: str, max_depth_m: float, weights: str | None) -> keras.Model:
    """EfficientNet-Lite at 256x320 and Feature Fusion Modules up to the student's map."""
    image = keras.layers.Input((*IMAGE_SIZE, 3), name="image")
    view = resized(image, WIDE_GRID, name="view")
    features = build_efficientnet_lite(view, SIZES[preset])
    x = features["P5"]
    for stride, channels in zip(("P4", "P3", "P2"), (128, 96, 64), strict=True):
        x = feature_fusion(x, features[stride], channels, stride.lower())
    model = keras.Model(image, depth_head(x, max_depth_m), name=preset)
    if weights is not None:
        load_imagenet(model, preset, weights)
    return model


def _patches(view: Any, size: VitSize) -> Any:
    return build_vit(size, view.shape[1])(view)


def _hub_patches(view: Any, size: VitSize) -> Any:
    layers = keras.layers
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="vit_rescaling")(view)
    x = build_hub_vit(size, view.shape[1])(x)
    x = layers.Cropping1D((1, 0), name="vit_patches")(x)  # without the class token
    grid = view.shape[1] // PATCH_SIZE
    return layers.Reshape((grid, grid, size.embed_dim), name="vit_map")(x)


def _decode(view: Any, patches: Any, filters: tuple[int, int, int]) -> Any:
    """Joins the transformer's map with the picture's detail, [batch, 64, 80, filters[-1]]."""
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="detail_rescaling")(view)
    skips = []
    for level, channels in zip(("p1", "p2", "p3"), reversed(filters), strict=True):
        x = _conv(x, channels, strides=2, name=f"detail_{level}")
        skips.append((level, x))
    x = _conv(x, filters[0], strides=2, name="detail_p4")
    x = keras.layers.Concatenate(name="decoder_p4_concat")([patches, x])
    x = _conv(x, filters[0], strides=1, name="decoder_p4")
    for (level, skip), channels in zip(reversed(skips), filters, strict=True):
        x = feature_fusion(x, skip, channels, level)
        if x.shape[1] >= MAP_SIZE[0]:
            break  # finer than the map: the work would be thrown away
    x = resized(x, MAP_SIZE, name="decoder_resize")
    return _conv(x, filters[-1], strides=1, name="decoder_refine")


def _conv(x: Any, filters: int, *, strides: int, name: str) -> Any:
    layers = keras.layers
    x = layers.Conv2D(
        filters, 3, strides, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _read_weights(preset: str, path: pathlib.Path) -> keras.Model:
    """Reads a `.weights.h5` into a teacher or a transformer of the file's own picture size."""
    settings, stored = PRESETS[preset], inspect_vit_weights(path)
    if stored.depth != settings.vit.depth:  # Keras itself would leave out what is too much
        raise misfit(path, preset)
    if stored.alone:
        build = build_hub_vit if settings.hub else build_vit
        source = build(settings.vit, stored.view_size)
    else:
        source = build_teacher(preset, view_size=stored.view_size)
    try:
        source.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise misfit(path, preset) from error
    return source
