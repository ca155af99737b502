"""Small .tflite graphs for the tests, converted once, and the command that measures them."""

import functools
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping

import numpy as np

from benchmark.graph import sample_picture

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
FORMATS = ("float32", "float16", "dynamic", "int8", "int8_io", "uint8_io", "int16_io")


@functools.cache
def graphs() -> Mapping[str, pathlib.Path]:
    """The graphs' files, each converted on first use.

    Returns:
        By name: `FORMATS` of one depth network, and `smaller`, `nearest`, `constant`, `not_finite`,
        `early` (a convolution before its resizes), `stepwise` (enlarges in two steps),
        `two_inputs`, `flat` (one row of numbers in), `table` (no map out), `two_maps`,
        `channels_first` (a map [1, 1, height, width]).
    """
    return _Graphs()


class _Graphs(Mapping):
    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="benchmark_graphs")
        self._models = _models()

    def __getitem__(self, name: str) -> pathlib.Path:
        import keras

        path = pathlib.Path(self._folder.name, f"{name}.tflite")
        if not path.exists():
            build, options = self._models[name]
            keras.utils.set_random_seed(0)  # all formats of one network
            path.write_bytes(_convert(build(), **options))
        return path

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)


def _models() -> dict[str, tuple[Callable, dict]]:
    import keras
    import tensorflow as tf

    def network():
        return _network((480, 640))

    return {
        "float32": (network, {}),
        "float16": (network, {"supported_types": [tf.float16]}),
        "dynamic": (network, {"optimize": True}),
        "int8": (network, {"calibrate": True}),
        "int8_io": (network, {"calibrate": True, "io": tf.int8}),
        "uint8_io": (network, {"calibrate": True, "io": tf.uint8}),
        "int16_io": (network, {"calibrate": True, "io": tf.int16, "ops": "int16x8"}),
        "smaller": (lambda: _network((96, 128)), {}),
        "nearest": (lambda: _network((480, 640), "nearest"), {}),
        "constant": (lambda: _with_output(lambda x: x * 0.0 + 2.0), {}),
        "not_finite": (lambda: _with_output(lambda x: keras.ops.log(x - 300.0)), {}),
        "early": (_early, {}),
        "stepwise": (_stepwise, {}),
        "two_inputs": (_two_inputs, {}),
        "flat": (_flat, {}),
        "table": (_table, {}),
        "two_maps": (_two_maps, {}),
        "channels_first": (_channels_first, {}),
    }


def run_benchmark(*flags: str, **environment: str) -> subprocess.CompletedProcess:
    """Runs `python -m benchmark` with as few measurements as possible.

    Args:
        *flags: Its flags.
        **environment: Additional environment variables.

    Returns:
        What it printed, and its exit code.
    """
    quick = ["--min_secs=0", "--num_runs=2", "--warmup_runs=0", "--noroofline"]
    return subprocess.run(
        [sys.executable, "-m", "benchmark", *quick, *flags], cwd=REPOSITORY, timeout=500,
        capture_output=True, text=True, env={**os.environ, **environment})


def assert_one_line(done: subprocess.CompletedProcess, *words: str) -> None:
    """Asserts that a run ended with code 1 and one line on stderr that holds the words."""
    assert done.returncode == 1, done.stderr
    lines = done.stderr.strip().split("\n")
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


def _network(size: tuple[int, int], interpolation: str = "bilinear"):
    import keras

    layers = keras.layers
    image = layers.Input((*size, 3), batch_size=1, name="image")
    x = layers.Resizing(24, 32)(image)
    x = layers.Rescaling(1 / 255)(x)
    bias = {"bias_initializer": "random_normal"}  # equal biases would share one buffer
    x = layers.Conv2D(16, 3, padding="same", activation="relu", **bias)(x)
    x = layers.DepthwiseConv2D(3, padding="same", **bias)(x)
    x = layers.Conv2D(16, 3, padding="same", activation="relu", **bias)(x)
    x = layers.Conv2D(1, 1, **bias)(x)
    x = layers.Rescaling(10.0)(layers.Activation("sigmoid")(x))
    return keras.Model(image, layers.Resizing(*size, interpolation=interpolation)(x))


def _with_output(function: Callable):
    import keras

    image = keras.layers.Input((480, 640, 3), batch_size=1)
    return keras.Model(image, function(image[..., :1]))


def _early():
    import keras

    image = keras.layers.Input((480, 640, 3), batch_size=1)
    x = keras.layers.Conv2D(4, 3, strides=4)(image)
    x = keras.layers.Conv2D(1, 3)(keras.layers.Resizing(24, 32)(x))
    return keras.Model(image, keras.layers.Resizing(480, 640)(x))


def _stepwise():
    import keras

    image = keras.layers.Input((480, 640, 3), batch_size=1)
    x = keras.layers.Conv2D(1, 3, activation="sigmoid")(keras.layers.Resizing(26, 34)(image))
    x = keras.layers.Rescaling(10.0)(keras.layers.Resizing(48, 64)(x))
    return keras.Model(image, keras.layers.Resizing(480, 640)(x))


def _two_inputs():
    import keras

    inputs = [keras.layers.Input((48, 64, 3), batch_size=1) for _ in range(2)]
    return keras.Model(inputs, (inputs[0] + inputs[1])[..., :1])


def _flat():
    import keras

    numbers = keras.layers.Input((16,), batch_size=1)
    return keras.Model(numbers, keras.layers.Dense(4)(numbers))


def _table():
    import keras

    image = keras.layers.Input((48, 64, 3), batch_size=1)
    return keras.Model(image, keras.layers.Conv2D(5, 1)(image))


def _two_maps():
    import keras

    image = keras.layers.Input((48, 64, 3), batch_size=1)
    return keras.Model(image, [image[..., :1] * 0.01, image[..., 1:2] * 0.02])


def _channels_first():
    import keras

    image = keras.layers.Input((48, 64, 3), batch_size=1)
    return keras.Model(image, keras.layers.Permute((3, 1, 2))(image[..., :1] * 0.01))


def _convert(model, optimize=False, supported_types=(), calibrate=False, io=None, ops="") -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if optimize or calibrate or supported_types:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = list(supported_types)
    if calibrate:
        picture = sample_picture()[np.newaxis].astype("float32")
        pictures = [picture, picture[:, ::-1]]
        converter.representative_dataset = lambda: ([picture] for picture in pictures)
        kinds = tf.lite.OpsSet
        converter.target_spec.supported_ops = [
            kinds.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8 if ops
            else kinds.TFLITE_BUILTINS_INT8]
    if io:
        converter.inference_input_type = converter.inference_output_type = io
    return converter.convert()
