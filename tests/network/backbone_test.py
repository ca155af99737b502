"""The encoder: its features, and the start of every width from ImageNet weights."""

import keras
import numpy as np
import pytest

from mai_depth.errors import UserError
from mai_depth.network import backbone


def wide_model(seed=0):
    """MobileNetV3Small(alpha=1.0) whose weights are all different from each other."""
    model = keras.applications.MobileNetV3Small(
        input_shape=(128, 160, 3), alpha=1.0, include_top=False, weights=None)
    random = np.random.default_rng(seed)
    model.set_weights([
        (0.1 + random.permutation(value.size) / value.size).reshape(value.shape)
        for value in model.get_weights()
    ])
    return model


def encoder(alpha, minimalistic=False):
    image = keras.Input((128, 160, 3))
    features = backbone.build_backbone(image, alpha=alpha, minimalistic=minimalistic)
    return keras.Model(image, features)


@pytest.mark.parametrize("minimalistic", [False, True])
@pytest.mark.parametrize("alpha", [0.35, 0.75, 1.0])
def test_features_lie_at_their_strides(alpha, minimalistic):
    features = encoder(alpha, minimalistic).output
    for level in range(1, 6):
        assert features[f"P{level}"].shape[1:3] == (128 >> level, 160 >> level)


def test_batch_norm_forgets_within_a_short_schedule():
    layers = [
        layer for layer in encoder(0.5).layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert len(layers) == 33
    assert {layer.momentum for layer in layers} == {0.95}


def test_same_width_is_a_plain_copy():
    wide, narrow = wide_model(), encoder(1.0)
    backbone.slice_weights(wide, narrow)
    for layer in narrow.layers:
        for mine, theirs in zip(
            layer.get_weights(), wide.get_layer(layer.name).get_weights()
            if layer.get_weights() else [], strict=True
        ):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("alpha", [0.35, 0.6, 0.75, 0.95])
def test_narrow_weights_are_rows_and_columns_of_the_wide_ones(alpha):
    wide, narrow = wide_model(), encoder(alpha)
    backbone.slice_weights(wide, narrow)
    for layer in narrow.layers:
        for mine, theirs in zip(
            layer.get_weights(), wide.get_layer(layer.name).get_weights()
            if layer.get_weights() else [], strict=True
        ):
            assert np.isin(mine, theirs).all(), layer.name


def test_one_channel_is_the_same_one_in_every_layer():
    """The channels that `project` keeps are those that its BatchNorm and the next layers keep."""
    wide, narrow = wide_model(), encoder(0.75)
    backbone.slice_weights(wide, narrow)

    def kept(layer, axis, weight=0):
        mine = narrow.get_layer(layer).get_weights()[weight]
        theirs = wide.get_layer(layer).get_weights()[weight]
        # A value occurs once in the wide weights, so one value of each channel finds its number.
        mine = np.moveaxis(mine, axis, 0).reshape(mine.shape[axis], -1)[:, 0]
        theirs = np.moveaxis(theirs, axis, 0).reshape(theirs.shape[axis], -1)
        return [int(np.argwhere((theirs == value).any(axis=1))[0, 0]) for value in mine]

    output = kept("expanded_conv_3_project", 3)
    assert len(output) == 32 < 40
    assert kept("expanded_conv_3_project_bn", 0) == output
    assert kept("expanded_conv_4_expand", 2) == output  # the next block reads them
    assert kept("expanded_conv_5_project", 3) == output  # and adds to them
    inner = kept("expanded_conv_4_expand", 3)
    assert kept("expanded_conv_4_depthwise", 2) == inner
    assert kept("expanded_conv_4_squeeze_excite_conv", 2) == inner
    assert kept("expanded_conv_4_squeeze_excite_conv_1", 3) == inner
    assert kept("expanded_conv_4_project", 2) == inner


def test_strongest_channels_are_kept():
    wide, narrow = wide_model(), encoder(0.75)
    kernel, *rest = wide.get_layer("expanded_conv_8_expand").get_weights()
    kernel[..., 7] *= 100
    kernel[..., 8] *= 1e-3
    wide.get_layer("expanded_conv_8_expand").set_weights([kernel, *rest])
    backbone.slice_weights(wide, narrow)
    mine = narrow.get_layer("expanded_conv_8_expand").get_weights()[0]
    assert mine.max() > 5
    assert mine.max(axis=(0, 1, 2)).min() > 0.01


def test_start_from_a_local_file(tmp_path):
    wide = wide_model()
    wide.save_weights(tmp_path / "wide.weights.h5")
    narrow = encoder(0.6)
    backbone.load_encoder_weights(
        narrow, str(tmp_path / "wide.weights.h5"), alpha=0.6, minimalistic=False)
    np.testing.assert_array_equal(
        narrow.get_layer("conv").get_weights()[0], wide.get_layer("conv").get_weights()[0])


def test_bad_weights_are_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.h5: no such file; --encoder_weights"):
        backbone.load_encoder_weights(
            encoder(0.6), "nowhere.h5", alpha=0.6, minimalistic=False)
    junk = tmp_path / "junk.weights.h5"
    junk.write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"junk.weights.h5: not weights of MobileNetV3Small"):
        backbone.load_encoder_weights(encoder(0.6), str(junk), alpha=0.6, minimalistic=False)


def test_real_imagenet_weights_survive_the_slicing(shared):
    """A sliced encoder still answers to a picture as the whole one does, far better than chance."""
    path = str(shared / "weights" / "mobilenet_v3_small_1.0_imagenet_notop.weights.h5")
    image = keras.utils.img_to_array(
        keras.utils.load_img(next((shared / "data/nyuv2/validation/rgb").iterdir()),
                             target_size=(128, 160)))[None]
    whole, sliced = encoder(1.0), encoder(0.95)
    for model, alpha in ((whole, 1.0), (sliced, 0.95)):
        backbone.load_encoder_weights(model, path, alpha=alpha, minimalistic=False)
    for level in ("P1", "P2", "P3", "P4"):
        np.testing.assert_allclose(whole(image)[level], sliced(image)[level], rtol=1e-4, atol=1e-4)
