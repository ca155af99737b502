"""The published depth networks that the student is measured against, out of stock layers.

Each builder follows the structure and the channels of the published code and gives a model from
`image` [batch, 480, 640, 3], float32 RGB 0..255, to `depth_m` [batch, 480, 640, 1]. Where a
publication leaves the form to the builder, the faster one is taken, so that no peer is slower
than its structure forces:

- the scaling of RGB 0..255 is folded into the first convolution;
- strided convolutions pad with `same`, which LiteRT does inside the convolution, where PyTorch
  pads both sides, which would need an operator of its own;
- a nearest enlargement by 2 is `Resizing`, one operator, where `UpSampling2D` becomes a chain of
  reshape and tile (as fast for few channels, slower for many);
- a network without an output resize of its own gets the bilinear one, which XNNPACK takes over;
  nearest runs outside it and takes 2.5 times as long.

The weights are random, scaled so that activations keep their size: numbers near zero would slow
a peer down without a reason.
"""

from typing import Any

import keras
from keras import layers

from mai_depth.network.resize import resized
from mai_depth.network.student import IMAGE_SIZE
from mai_depth.network.student import build_student

# Seeds of their own: these are made before `write_peer` sets one.
_FROM_BYTES = keras.initializers.VarianceScaling(2.0 / 255**2, seed=0)
# Keras' fan_in is over all channels.
_DEPTHWISE = keras.initializers.VarianceScaling(2.0, mode="fan_out", seed=1)

# FastDepth after pruning: stem, then the output channels of the 13 separable blocks and strides.
_FASTDEPTH_ENCODER = (
    (56, 1), (88, 2), (120, 1), (144, 2), (256, 1), (408, 2), (376, 1), (272, 1), (288, 1),
    (296, 1), (328, 1), (480, 2), (512, 1),
)
_FASTDEPTH_SKIPS = (1, 3, 5)  # encoder blocks whose outputs are added in the decoder
_FASTDEPTH_DECODER = (200, 256, 120, 56, 16)

# MobileNetV3-Small, minimalistic: expanded channels, output channels, stride; all kernels 3x3.
_MOBILENET_V3_MINIMALISTIC = (
    (16, 16, 2), (72, 24, 2), (88, 24, 1), (96, 40, 2), (240, 40, 1), (240, 40, 1), (120, 48, 1),
    (144, 48, 1), (288, 96, 2), (576, 96, 1), (576, 96, 1),
)

# EfficientNet-Lite3: blocks, kernel, stride, output channels; the first expands 1 times, others 6.
_EFFICIENTNET_LITE3 = (
    (1, 3, 1, 24), (3, 3, 2, 32), (3, 5, 2, 48), (5, 3, 2, 96), (5, 5, 1, 136), (6, 5, 2, 232),
    (1, 3, 1, 384),
)


def paper(preset: str) -> keras.Model:
    """The paper's own graph (Zhang et al., CVPR 2021 workshops) around the student's core.

    Bilinear to 128x160 without antialiasing and in the decoder, nearest to 480x640.

    Args:
        preset: A preset of `build_student`.

    Returns:
        The model; its core is the student's of that preset.
    """
    student = build_student(preset, upsampling="bilinear")
    return _model(student.input, student.get_layer("depth_low").output, "nearest", preset)


def mai2021_baseline_unet() -> keras.Model:
    """The challenge organisers' U-Net: 64 to 1024 channels at 240x320, bilinear in and out."""
    image, x = _camera((240, 320))
    skips = []
    for filters in (64, 128, 256, 512):
        x = _double_conv(x, filters)
        skips.append(x)
        x = layers.MaxPooling2D(2)(x)
    x = _double_conv(x, 1024)
    for filters, skip in zip((512, 256, 128, 64), reversed(skips), strict=True):
        x = layers.Conv2DTranspose(filters, 2, strides=2, kernel_initializer="he_normal")(x)
        x = _double_conv(layers.Concatenate()([x, skip]), filters)
    x = _head(x, 3, "relu")
    return _model(image, x, "bilinear", "mai2021_baseline_unet")


def fastdepth() -> keras.Model:
    """FastDepth (Wofk et al., ICRA 2019) at 224x224, in its final, pruned form.

    MobileNet, then five times 5x5 depthwise, 1x1, nearest enlargement (NNConv5), with additive
    skip connections.
    """
    image, x = _camera((224, 224))
    x = _conv(x, 16, 3, strides=2, activation="relu6")
    skips = []
    for block, (filters, strides) in enumerate(_FASTDEPTH_ENCODER, start=1):
        x = _depthwise(x, 3, strides, "relu6")
        x = _conv(x, filters, 1, activation="relu6")
        if block in _FASTDEPTH_SKIPS:
            skips.append(x)
    for block, filters in enumerate(_FASTDEPTH_DECODER):
        x = _conv(_depthwise(x, 5, 1, "relu"), filters, 1, activation="relu")
        x = _twice(x, "nearest")
        if 1 <= block <= 3:
            x = layers.Add()([x, skips.pop()])
    x = _head(x, 1, "relu")
    return _model(image, x, "bilinear", "fastdepth")


def litedepth() -> keras.Model:
    """LiteDepth (Li et al., ECCV workshops 2022) at 128x160: bilinear in, nearest out.

    Minimalistic MobileNetV3-Small without its last convolution; 1x1 fusions up to stride 4; a
    3x3 and a 1x1 convolution. The published code aligns the corners of its bilinear resizes,
    Keras the pixel centres: the same work.
    """
    image, x = _camera((128, 160))
    x = _conv(x, 16, 3, strides=2, activation="relu")
    features = []
    for expanded, filters, strides in _MOBILENET_V3_MINIMALISTIC:
        if strides == 2:
            features.append(x)
        x = _inverted_residual(x, expanded, filters, 3, strides, "relu")
    x = _conv(x, 72, 1, activation="relu", batch_norm=False)
    # Strides 16, 8 and 4 follow; what was kept at the stem's stride 2 is not used.
    for skip, filters in zip(reversed(features[1:]), (24, 8, None), strict=True):
        x = layers.Concatenate()([_twice(x, "bilinear"), skip])
        if filters:
            x = _conv(x, filters, 1, activation="relu", batch_norm=False)
    x = _conv(x, 24, 3, activation="relu", batch_norm=False)
    return _model(image, _head(x, 1, "relu"), "nearest", "litedepth")


def keras_io_unet() -> keras.Model:
    """The U-Net of the keras.io example "Monocular depth estimation" at 256x256."""
    image, x = _camera((256, 256))
    skips = []
    for filters in (16, 32, 64, 128):
        # The raw first convolution is the shortcut, so its BatchNorm cannot be folded into it.
        shortcut = layers.Conv2D(
            filters, 3, padding="same", kernel_initializer=_kernel_initializer(x))(x)
        y = layers.Activation("leaky_relu")(layers.BatchNormalization()(shortcut))
        x = layers.Add()([_conv(y, filters, 3, activation="leaky_relu"), shortcut])
        skips.append(x)
        x = layers.MaxPooling2D(2)(x)
    for _ in range(2):
        x = _conv(x, 256, 3, activation="leaky_relu", batch_norm=False)
    for filters, skip in zip((128, 64, 32, 16), reversed(skips), strict=True):
        x = layers.Concatenate()([_twice(x, "nearest"), skip])
        for _ in range(2):
            x = _conv(x, filters, 3, activation="leaky_relu")
    return _model(image, _head(x, 1, "tanh"), "bilinear", "keras_io_unet")


def midas_v21_small() -> keras.Model:
    """MiDaS v2.1 small (Ranftl et al., TPAMI 2022) at 256x256.

    EfficientNet-Lite3 and a RefineNet decoder with 64, 128, 256 and 512 channels. The published
    code aligns the corners of its bilinear resizes, Keras the pixel centres: the same work.
    """
    image, x = _camera((256, 256))
    features = _efficientnet_lite3(x)
    skips = [
        layers.Conv2D(filters, 3, padding="same", use_bias=False,
                      kernel_initializer="he_normal")(feature)
        for feature, filters in zip(features, (64, 128, 256, 512), strict=True)
    ]
    x = None
    for skip, filters in zip(reversed(skips), (256, 128, 64, 64), strict=True):
        x = skip if x is None else layers.Add()([x, _residual_unit(skip)])
        x = _twice(_residual_unit(x), "bilinear")
        x = _conv(x, filters, 1, batch_norm=False)
    x = _twice(_conv(x, 32, 3, batch_norm=False), "bilinear")
    x = _conv(x, 32, 3, activation="relu", batch_norm=False)
    return _model(image, _head(x, 1, "relu"), "bilinear", "midas_v21_small")


def _efficientnet_lite3(x: Any) -> list[Any]:
    """The features that MiDaS uses: strides 4, 8, 16 and 32 with 32, 48, 136 and 384 channels."""
    x = _conv(x, 32, 3, strides=2, activation="relu6")
    outputs = []
    for blocks, kernel, strides, filters in _EFFICIENTNET_LITE3:
        for block in range(blocks):
            channels = x.shape[-1]
            expanded = 6 * channels if outputs else channels
            x = _inverted_residual(
                x, expanded, filters, kernel, 1 if block else strides, "relu6")
        outputs.append(x)
    return [outputs[stage] for stage in (1, 2, 4, 6)]


def _inverted_residual(
    x: Any, expanded: int, filters: int, kernel: int, strides: int, activation: str
) -> Any:
    """1x1 expansion (none where the channels stay), depthwise, linear 1x1, shortcut."""
    shortcut = x
    if expanded != x.shape[-1]:
        x = _conv(x, expanded, 1, activation=activation)
    x = _conv(_depthwise(x, kernel, strides, activation), filters, 1)
    return layers.Add()([x, shortcut]) if x.shape == shortcut.shape else x


def _residual_unit(x: Any) -> Any:
    y = _conv(layers.ReLU()(x), x.shape[-1], 3, activation="relu", batch_norm=False)
    return layers.Add()([_conv(y, x.shape[-1], 3, batch_norm=False), x])


def _double_conv(x: Any, filters: int) -> Any:
    for _ in range(2):
        x = _conv(x, filters, 3, activation="relu", batch_norm=False)
    return x


def _conv(
    x: Any, filters: int, kernel: int, *, strides: int = 1, activation: str | None = None,
    batch_norm: bool = True,
) -> Any:
    x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=not batch_norm,
                      kernel_initializer=_kernel_initializer(x))(x)
    if batch_norm:
        x = layers.BatchNormalization()(x)
    return layers.Activation(activation)(x) if activation else x


def _depthwise(x: Any, kernel: int, strides: int, activation: str) -> Any:
    x = layers.DepthwiseConv2D(kernel, strides=strides, padding="same", use_bias=False,
                               depthwise_initializer=_DEPTHWISE)(x)
    return layers.Activation(activation)(layers.BatchNormalization()(x))


def _head(x: Any, kernel: int, activation: str) -> Any:
    # A bias of one: random weights alone may put a whole map on the flat side of a ReLU.
    return layers.Conv2D(1, kernel, padding="same", kernel_initializer="he_normal",
                         bias_initializer="ones", activation=activation)(x)


def _kernel_initializer(x: Any) -> Any:
    return _FROM_BYTES if x.shape[-1] == 3 else "he_normal"


def _twice(x: Any, interpolation: str) -> Any:
    size = (2 * x.shape[1], 2 * x.shape[2])
    return resized(x, size, interpolation=interpolation)


def _camera(size: tuple[int, int]) -> tuple[Any, Any]:
    """The input `image` and the picture that the network sees."""
    image = layers.Input((*IMAGE_SIZE, 3), name="image")
    return image, resized(image, size, name="view")


def _model(image: Any, depth: Any, interpolation: str, name: str) -> keras.Model:
    output = resized(
        depth, IMAGE_SIZE, interpolation=interpolation, name="depth_m")
    return keras.Model(image, output, name=name)
