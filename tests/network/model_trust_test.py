"""The list of what a model may name: every entry exists, and honest models need no other."""

import importlib
import inspect

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

from mai_depth.errors import UserError
from mai_depth.network import model_trust
from mai_depth.network.model_file import load_model

# Keras' own list of what its functions, initializers and so on are called in public.
PUBLIC = ("keras", "keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints",
          "keras.dtype_policies")


def classes_of(package):
    for module, name in sorted(model_trust.STOCK_CLASSES | model_trust.PACKAGE_CLASSES):
        if module.partition(".")[0] == package:
            yield module, getattr(importlib.import_module(module), name, None)


def test_every_listed_class_is_one_that_keras_saves():
    for module, found in classes_of("keras"):
        assert inspect.isclass(found), module
        if module not in PUBLIC:  # under its own module Keras saves what has no public name
            assert found.__module__ == module and issubclass(found, keras.Operation), found


@pytest.mark.parametrize("package", ["keras_cv", "keras_hub"])
def test_every_listed_class_of_a_package_is_a_layer(package):
    pytest.importorskip(package)
    for module, found in classes_of(package):
        assert found.__module__ == module and issubclass(found, keras.Layer), found


def test_activations_are_keras_own():
    names = {name for _, name in model_trust.FUNCTIONS}
    assert all(callable(keras.activations.get(name)) for name in names)
    assert not names & {"get", "serialize", "deserialize"}


def save(model, path):
    path = path / "model.keras"
    model.save(path)  # as other people save theirs
    return path


def assert_reloads(model, path):
    size = model.inputs[0].shape[1:]
    image = np.random.default_rng(0).uniform(0, 255, (1, *size)).astype(np.float32)
    loaded = load_model(save(model, path))
    assert np.array_equal(loaded(image), model(image))


def depth_of(features, image):
    x = layers.Conv2D(1, 1, activation="softplus")(features)
    return keras.Model(image, layers.Resizing(*image.shape[1:3])(x))


@pytest.mark.parametrize("name", ["MobileNetV3Small", "EfficientNetV2B0", "ConvNeXtTiny"])
def test_networks_of_keras_applications_may_be_named(name):
    image = keras.Input((96, 96, 3))
    network = getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=(96, 96, 3))
    config = keras.saving.serialize_keras_object(depth_of(network(image), image))
    model_trust.check_config(config, "model.keras")


def test_nodes_of_keras_ops_are_read(tmp_path):
    image = keras.Input((16, 16, 3))
    x = ops.concatenate([image / 255.0, ops.mean(image, axis=-1, keepdims=True)], axis=-1)
    x = layers.Conv2D(8, 3, padding="same", activation=ops.relu)(ops.pad(x, [[0, 0]] * 4))
    x = ops.depth_to_space(ops.relu(x), 2)
    x = ops.image.resize(x, (16, 16), interpolation="bilinear")
    x = ops.clip(ops.multiply(ops.softplus(x), 2.0), 0.1, 10.0)
    x = ops.exp(ops.log(ops.transpose(ops.transpose(x, (0, 2, 1, 3)), (0, 2, 1, 3))))
    assert_reloads(keras.Model(image, x[..., :1]), tmp_path)


def test_layers_within_layers_are_read(tmp_path):
    image = keras.Input((8, 8, 3))
    rows = layers.TimeDistributed(layers.Dense(4))(layers.Reshape((64, 3))(image))
    rows = layers.Bidirectional(layers.RNN(layers.GRUCell(2), return_sequences=True))(rows)
    seen = layers.MultiHeadAttention(2, 4)(rows, rows)
    x = layers.Reshape((8, 8, 4))(layers.LayerNormalization()(seen))
    inner = keras.Sequential([keras.Input((8, 8, 4)), layers.SpectralNormalization(layers.Conv2D(
        4, 3, padding="same", kernel_regularizer="l2", bias_constraint="non_neg"))])
    x = layers.Dense(1, activation="gelu", kernel_initializer="he_normal")(inner(x))
    assert_reloads(keras.Model(image, x), tmp_path)


def test_a_teacher_that_was_saved_with_its_optimizer_is_read(tmp_path):
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.Conv2D(1, 1)(image))
    model.compile(keras.optimizers.Adam(), keras.losses.Huber(),
                  metrics=[keras.metrics.MeanSquaredError()])
    model.train_on_batch(np.ones((1, 8, 8, 3)), np.ones((1, 8, 8, 1)))
    assert_reloads(model, tmp_path)


@pytest.mark.parametrize("word", ["visualization.plot_image_gallery", "keras.config.set_floatx",
                                  "config.set_floatx", "deserialize", "get"])
@pytest.mark.parametrize("setting", ["activation", "kernel_initializer", "kernel_regularizer"])
def test_plain_words_mean_only_keras_own_functions(word, setting):
    """Words are not checked, because Keras looks them up in lists of its own."""
    kind = getattr(keras, setting.removeprefix("kernel_") + "s")
    with pytest.raises(ValueError, match="Could not interpret"):
        kind.get(word)


def test_names_that_are_no_words_are_refused():
    for node in ({"class_name": ["Dense"], "module": "keras.layers"},
                 {"class_name": "Dense", "module": None}, {"class_name": "Dense"},
                 {"class_name": "__numpy__", "module": "keras.layers"},
                 {"class_name": "function", "module": "builtins", "config": None}):
        with pytest.raises(UserError, match="no stock Keras layer"):
            model_trust.check_config({"config": [node]}, "model.keras")
