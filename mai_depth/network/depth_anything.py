"""Depth Anything V2 (Yang et al. 2024) as KerasHub has it: a teacher of shape without a unit.

It answers with inverse depth up to a scale and a shift that differ from picture to picture.
KerasHub has no weights that answer in metres (0.32), and its transformer sees squares alone, so a
picture is stretched to 518x518. Importing this module loads neither Keras nor KerasHub.
"""

from typing import TYPE_CHECKING
from typing import Any

from mai_depth.errors import UserError

if TYPE_CHECKING:
    import keras

LICENSES = {
    "depth_anything_v2_small": "Apache-2.0",
    "depth_anything_v2_base": "CC-BY-NC-4.0",
    "depth_anything_v2_large": "CC-BY-NC-4.0",
}
"""The presets, and the licences of their weights."""

INVERSE_DEPTH = "inverse_depth"
"""Name of a model's last layer that marks its answer as having no unit."""

_IMAGE_SIZE = (480, 640)  # of every teacher
_MEAN = (0.485, 0.456, 0.406)  # of ImageNet's pictures in 0..1, red, green, blue
_DEVIATION = (0.229, 0.224, 0.225)


def load_depth_anything(preset: str) -> "keras.Model":
    """Builds a teacher with trained weights, which are downloaded on the first call.

    Args:
        preset: A key of `LICENSES`.

    Returns:
        As `depth_anything_teacher`.

    Raises:
        UserError: keras-hub is not installed, or the download failed.
    """
    from mai_depth.network.vit import import_keras_hub

    network = import_keras_hub(f"--teacher_preset={preset}").models.DepthAnythingBackbone
    try:
        backbone = network.from_preset(preset)
    except Exception as error:  # the download has exceptions of its own for every kind of failure
        raise UserError(
            f"--teacher_preset={preset}: the download failed ({type(error).__name__}); try again "
            "where there is internet, or save the teacher there and give its file as --teacher"
        ) from error
    return depth_anything_teacher(backbone, preset)


def depth_anything_teacher(backbone: Any, name: str) -> "keras.Model":
    """Wraps a Depth Anything network for pictures of 480x640.

    Args:
        backbone: A `keras_hub.models.DepthAnythingBackbone`.
        name: Name of the model.

    Returns:
        A model from [batch, 480, 640, 3] RGB 0..255 to [batch, 480, 640, 1] inverse depth, at
        least 0, larger = nearer; its last layer is called `INVERSE_DEPTH`.
    """
    import keras

    from mai_depth.network.resize import resized

    layers = keras.layers
    image = layers.Input((*_IMAGE_SIZE, 3), name="image")
    x = resized(image, tuple(backbone.input.shape[1:3]), name="view")
    x = layers.Rescaling(
        [1 / (255 * deviation) for deviation in _DEVIATION],
        [-mean / deviation for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)],
        name="imagenet_colors")(x)
    x = layers.ReLU(name="at_least_0")(backbone(x))
    return keras.Model(image, resized(x, _IMAGE_SIZE, name=INVERSE_DEPTH), name=name)


def is_relative(model: Any) -> bool:
    """Tells whether a model answers with inverse depth of no unit, by the name of its output."""
    return list(model.output_names) == [INVERSE_DEPTH]
