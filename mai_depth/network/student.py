"""The student: MobileNetV3-Small with fewer channels, a light decoder, resizes inside the graph."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from mai_depth.errors import UserError
from mai_depth.network.backbone import build_backbone
from mai_depth.network.backbone import load_encoder_weights
from mai_depth.network.decoder import build_decoder
from mai_depth.network.decoder import levels_to
from mai_depth.network.model_file import load_model
from mai_depth.network.pretrained import list_pretrained
from mai_depth.network.resize import shrink
from mai_depth.network.resize import upsample

IMAGE_SIZE = (480, 640)  # height, width of the camera's picture and of the depth map
GRID_SIZE = (128, 160)  # what the encoder sees: the "fast downsampling strategy" of the paper


@dataclasses.dataclass(frozen=True)
class Preset:
    """The size of a student.

    Attributes:
        alpha: Width multiplier of the encoder.
        decoder_filters: Channels after the fusion with P4, P3, P2, P1, as far as the decoder goes.
        decoder_stride: Where it stops.
        grid_size: Height and width of the picture that the encoder sees.
        fusion: One of `decoder.FUSIONS`.
        upsampling: In the decoder: `nearest`, which export merges into the convolutions (a fifth
            less time of student_90m), or `bilinear`.
    """

    alpha: float
    decoder_filters: tuple[int, ...]
    decoder_stride: int = 2
    grid_size: tuple[int, int] = GRID_SIZE
    fusion: str = "concat"
    upsampling: str = "nearest"


PRESETS = {
    # The rows of Table 2 of the paper, which gives their MACs, not the channels: within 3 %.
    "student_28m": Preset(0.6, (24, 16, 8, 8)),
    "student_49m": Preset(0.75, (48, 32, 16, 8)),
    "student_90m": Preset(0.95, (64, 32, 32, 16)),
    "student_189m": Preset(0.95, (96, 64, 48, 32)),
    # A decoder finer than this one costs most of the time and gains nothing in si-RMSE.
    "fast": Preset(0.75, (64,), decoder_stride=16, grid_size=(96, 128)),
    # Edges need stride 2; fusion by sums makes it cheap, and alpha 0.85 pays for it. Without a 3x3
    # convolution nearest neighbours would leave blocks; bilinear costs no time here.
    "balanced": Preset(
        0.85, (64, 32, 16, 8), decoder_stride=2, fusion="add", upsampling="bilinear"),
    "accurate": Preset(1.0, (96, 64), decoder_stride=8, grid_size=(192, 256)),
    # Edges do gain from it.
    "sharp": Preset(1.0, (96, 64, 32, 16), grid_size=(192, 256)),
}


def build_student(
    preset: str = "student_90m",
    *,
    alpha: float | None = None,
    decoder_filters: tuple[int, ...] | None = None,
    minimalistic: bool = False,
    max_depth_m: float = 40.0,
    grid_size: tuple[int, ...] | None = None,
    decoder_stride: int | None = None,
    fusion: str | None = None,
    slim: bool = False,
    antialias: bool = False,
    upsampling: str | None = None,
    encoder_weights: str | None = None,
) -> keras.Model:
    """Builds the network of the paper (Zhang et al., Mobile AI 2021) out of stock layers.

    What is None is the preset's.

    Args:
        preset: A key of `PRESETS`.
        alpha: Width multiplier of the encoder, instead of the preset's.
        decoder_filters: Channels after the fusion with P4, P3, P2, P1, as far as the decoder goes,
            instead of the preset's.
        minimalistic: The encoder without squeeze-excite, hard-swish and 5x5 convolutions.
        max_depth_m: The depth that the sigmoid of the head reaches.
        grid_size: Height and width of the picture that the encoder sees, divisible by 32.
        decoder_stride: Where the decoder stops: 2 as the paper's, 4, 8 or 16.
        fusion: One of `decoder.FUSIONS`.
        slim: Stride 32 as one block without squeeze-excite.
        antialias: Reduce to twice the grid and average 2x2, so that every pixel of the camera
            counts (11 % more instructions of student_90m on a Cortex-A72); else sample the grid
            directly, as the paper does.
        upsampling: Of the decoder, `nearest` or `bilinear`.
        encoder_weights: Where the encoder starts: what `load_encoder_weights` takes, or the
            `.keras` file of a student with the same encoder; None for random.

    Returns:
        A Functional model from `image` [batch, 480, 640, 3], float32 RGB 0..255, to `depth_m`
        [batch, 480, 640, 1], float32 metres. The layer `view` is where the training pictures
        enter, `depth_logits` [batch, grid / decoder_stride, 1] is what is distilled.

    Raises:
        UserError: An unknown preset or sizes that cannot be built.
    """
    size = size_of(preset, alpha=alpha, decoder_filters=decoder_filters,
                   decoder_stride=decoder_stride, grid_size=grid_size, fusion=fusion,
                   upsampling=upsampling)
    image = layers.Input((*IMAGE_SIZE, 3), name="image")
    grid = shrink(image, size.grid_size, antialias=antialias)
    features = build_backbone(grid, alpha=size.alpha, minimalistic=minimalistic, slim=slim)
    decoded = build_decoder(features, size.decoder_filters, size.upsampling,
                            stride=size.decoder_stride, fusion=size.fusion)
    model = keras.Model(image, depth_head(decoded, max_depth_m), name=preset)
    if encoder_weights and encoder_weights.endswith(".keras"):
        _copy_encoder(encoder_weights, model)
    elif encoder_weights:
        load_encoder_weights(model, encoder_weights, alpha=size.alpha, minimalistic=minimalistic)
    return model


def size_of(preset: str, **given: Any) -> Preset:
    """The size of a student.

    Args:
        preset: A key of `PRESETS`.
        **given: What is other than the preset's, by the names of its attributes; None is the
            preset's. A decoder that stops earlier has the preset's channels as far as it goes.

    Raises:
        UserError: An unknown preset, or a grid that has no whole cells at stride 32.
    """
    if preset not in PRESETS:
        raise UserError(f"--student={preset}: {_why_not(preset)}")
    given = {name: value for name, value in given.items() if value}
    size = dataclasses.replace(PRESETS[preset], **given)
    grid = size.grid_size
    if len(grid) != 2 or any(side % 32 or side < 32 for side in grid):
        raise UserError(f"--grid={','.join(map(str, grid))}: give height and width, both "
                        "divisible by 32")
    if "decoder_filters" in given:
        return size
    levels = len(levels_to(size.decoder_stride))
    return dataclasses.replace(size, decoder_filters=size.decoder_filters[:levels])


def _why_not(preset: str) -> str:
    shipped = {entry["name"] for entry in list_pretrained()}
    size = next((size for size in PRESETS if preset.endswith(f"_{size}")), None)
    if size and preset in shipped:
        return (f"a trained network; to start from it give --student={size} "
                f"--encoder_weights={preset}")
    return f"unknown; one of {', '.join(PRESETS)}"


def student_grid(model: keras.Model) -> tuple[int, int]:
    """Height and width of what a student's encoder sees."""
    names = {layer.name for layer in model.layers}
    return tuple(model.get_layer("grid" if "grid" in names else "view").output.shape[1:3])


def depth_head(decoded: Any, max_depth_m: float) -> Any:
    """Turns the decoder's output into metres at the camera's resolution.

    Args:
        decoded: Tensor [batch, h, w, c].
        max_depth_m: The depth at which the sigmoid saturates.

    Returns:
        Tensor [batch, 480, 640, 1]: max_depth_m * sigmoid(depth_logits), resized bilinearly.
    """
    # 1x1: a 3x3 convolution to one channel leaves the vector lanes empty (3 % of the time).
    x = layers.Conv2D(1, 1, name="depth_logits")(decoded)
    x = layers.Activation("sigmoid", name="depth_fraction")(x)
    x = layers.Rescaling(max_depth_m, name="depth_low")(x)
    return upsample(x, IMAGE_SIZE, "bilinear", name="depth_m")


def copy_student(path: str | os.PathLike, model: keras.Model) -> None:
    """Takes over all weights of a trained student, those of the decoder and the head as well.

    Args:
        path: Its `.keras` file.
        model: A student of the same size; changed in place.

    Raises:
        UserError: The file is missing, of another size, or its head reaches another depth.
    """
    source = load_model(path)
    theirs, mine = ({layer.name: layer for layer in one.layers if layer.weights}
                    for one in (source, model))
    try:
        for name in theirs | mine:
            mine[name].set_weights(theirs[name].get_weights())
    except (KeyError, ValueError) as error:
        raise UserError(
            f"--student_weights={path}: a student of another size (at {name}); give the --student, "
            "--alpha and the like that it was trained with") from error
    reaches, wanted = (one.get_layer("depth_low").scale for one in (source, model))
    if reaches != wanted:
        raise UserError(f"--student_weights={path}: its head reaches {reaches:g} m; give "
                        f"--max_depth_m={reaches:g}")


def copy_mean_student(paths: Sequence[str | os.PathLike], model: keras.Model) -> None:
    """Takes over the mean weights of several students that were fine-tuned from the same one.

    It is about as good as the best of them, without having to choose one (Wortsman et al., "Model
    soups", ICML 2022). Students of different starts have no useful mean.

    Args:
        paths: Their `.keras` files; one alone is taken over as it is.
        model: A student of the same size; changed in place.

    Raises:
        UserError: As `copy_student`.
    """
    taken = []
    for path in paths:
        copy_student(path, model)
        taken.append(model.get_weights())
    model.set_weights([np.mean(same, axis=0) for same in zip(*taken, strict=True)])


def _copy_encoder(path: str, model: keras.Model) -> None:
    """Takes over the encoder of a trained student; the decoder starts anew."""
    sources = {layer.name: layer for layer in load_model(path).layers}
    for layer in model.layers:
        if layer.weights and not layer.name.startswith(("decoder_", "depth_")):
            try:
                layer.set_weights(sources[layer.name].get_weights())
            except (KeyError, ValueError) as error:
                raise UserError(
                    f"{path}: its encoder has another width (at {layer.name}); give "
                    "--encoder_weights=none and a wider student as --prune_from, or one of the "
                    "same --alpha and --minimalistic"
                ) from error
