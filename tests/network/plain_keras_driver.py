"""What a stranger does with a `.keras` file, without this project: every call must answer alike.

    python plain_keras_driver.py FILE.keras [...]

Prints one JSON object: the Keras version, and for each file the largest difference of each way of
calling from `predict` in metres, and what calls and trainings changed.
"""

import json
import os
import pathlib
import sys
import tempfile

import numpy as np

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import tensorflow as tf


def pictures(count):
    """Pictures with structure: noise alone would leave every depth map flat."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (count, 6, 8, 3)).astype(np.float32)
    return np.repeat(np.repeat(coarse, 80, 1), 80, 2)


def ways(model, x):
    """Every way to ask the model, by its name."""
    yield "call", model(x)
    yield "call training=False", model(x, training=False)
    yield "tf.function", tf.function(lambda image: model(image))(x)
    image = keras.Input((480, 640, 3))
    yield "layer", keras.Model(image, keras.layers.Rescaling(1.0)(model(image)))(x)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    yield "clone", clone(x)
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, format="tf_saved_model", verbose=False)
        served = tf.saved_model.load(folder)
        yield "saved model", served.serve(x)


def values(variables):
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def changed(before, variables):
    return sum(not np.array_equal(a, b) for a, b in zip(before, values(variables), strict=True))


def compile_model(model, learning_rate):
    # Eagerly: a few steps take less time than tracing a graph for them.
    model.compile(
        keras.optimizers.Adam(learning_rate), "mean_absolute_error", run_eagerly=True)


def train(model, x):
    """Loss of the first and the last step towards a flat wall, and how many statistics moved.

    The loss of training mode: the moving statistics lag behind, and may raise that of inference.
    Eight steps: Adam's first ones, as long for every weight, may raise it too.
    """
    statistics = [v for v in model.non_trainable_variables if "moving" in v.path]
    before = values(statistics)
    compile_model(model, 3e-4)
    target = np.full((len(x), 480, 640, 1), 2.0, np.float32)
    losses = model.fit(x, target, epochs=8, batch_size=2, verbose=0).history["loss"]
    return {"before": losses[0], "after": losses[-1],
            "moved": changed(before, statistics), "statistics": len(statistics)}


def freeze(model, x):
    """How many variables a training changes that may change none."""
    model.trainable = False
    before = values(model.variables)
    compile_model(model, 1e-2)
    model.fit(x, np.zeros((len(x), 480, 640, 1)), batch_size=2, verbose=0)
    return changed(before, model.variables)


def examine(path):
    model, x = keras.saving.load_model(path), pictures(2)
    expected = model.predict(x, verbose=0)
    before = values(model.variables)
    found = {name: float(np.abs(np.asarray(answer) - expected).max())
             for name, answer in ways(model, x)}
    return {"range_m": float(np.ptp(expected)), "differences": found,
            "changed": changed(before, model.variables),
            "training": train(model, x), "changed_frozen": freeze(model, x)}


if __name__ == "__main__":
    found = {pathlib.Path(path).name: examine(path) for path in sys.argv[1:]}
    print(json.dumps({"keras": keras.__version__, "models": found}))
