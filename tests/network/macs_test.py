"""The MAC counter: against counts by hand and a published one, in Keras 3 and in tf_keras."""

import keras
import pytest
import tf_keras

from mai_depth.network.converter import to_tflite
from mai_depth.network.macs import count_macs
from mai_depth.network.student import build_student
from mai_depth.tflite.graph import TfliteFile

FRAMEWORKS = pytest.mark.parametrize("framework", (keras, tf_keras), ids=("keras", "tf_keras"))


@FRAMEWORKS
def test_each_layer_kind_by_hand(framework):
    layers = framework.layers
    image = framework.Input((32, 48, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same")(image)
    x = layers.Conv2D(12, 3, padding="same", groups=4)(x)
    x = layers.DepthwiseConv2D(5, strides=2, padding="same", depth_multiplier=2)(x)
    x = layers.BatchNormalization()(x)
    x = layers.SeparableConv2D(16, 3, padding="same")(x)
    x = layers.Conv2DTranspose(4, 5, strides=2, padding="same")(x)
    x = layers.Resizing(64, 96)(layers.ReLU()(x))
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Conv2D(6, 1)(x)
    output = layers.Dense(5)(layers.Flatten()(x))
    expected = (
        16 * 24 * 9 * 3 * 8
        + 16 * 24 * 9 * 2 * 12
        + 8 * 12 * 25 * 24
        + 8 * 12 * (9 * 24 + 24 * 16)
        + 8 * 12 * 25 * 16 * 4
        + 4 * 6
        + 6 * 5
    )
    assert count_macs(framework.Model(image, output)) == expected


@FRAMEWORKS
def test_shared_layers_and_inner_models_count_at_each_use(framework):
    image = framework.Input((8, 8, 4))
    shared = framework.layers.Conv2D(4, 1)
    inner = framework.Model(image, framework.layers.Conv2D(4, 3)(image))
    output = inner(shared(shared(image)))
    assert count_macs(framework.Model(image, output)) == 2 * 64 * 16 + 36 * 9 * 16


def test_published_count_of_mobilenet_v2():
    """300 million multiply-adds at 224x224 (Sandler et al., CVPR 2018, Table 4)."""
    model = keras.applications.MobileNetV2(weights=None)
    assert count_macs(model) == pytest.approx(300e6, rel=0.01)


@pytest.mark.slow
def test_the_counter_of_files_agrees(tmp_path):
    model = build_student("student_28m", upsampling="bilinear")
    path = tmp_path / "student.tflite"
    path.write_bytes(to_tflite(model))
    assert TfliteFile(path).macs() == count_macs(model) > 25e6


@FRAMEWORKS
def test_unknown_size_is_refused_by_the_layer_name(framework):
    image = framework.Input((None, None, 3))
    model = framework.Model(image, framework.layers.Conv2D(4, 3, name="stem")(image))
    with pytest.raises(ValueError, match="stem"):
        count_macs(model)
