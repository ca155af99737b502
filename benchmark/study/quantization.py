"""Where 8-bit integers cost accuracy: si-RMSE with only one tensor or one kernel of them rounded.

    python -m benchmark.study.quantization --model=student.keras --data_dir=NYUV2

The float network computes, but for one result of a layer in 256 numbers, or one kernel in 255 steps
a channel, rounded to the nearest. Writes one row for each, and three for all results, all kernels
and everything, with `float` first; rows of other models in the file stay.
"""

import csv
import io
import pathlib

from absl import flags
from tqdm import tqdm

from mai_depth import command
from mai_depth.atomic import write_text_atomic
from mai_depth.environment import check_environment
from mai_depth.environment import start_tensorflow
from mai_depth.errors import UserError
from mai_depth.paths import expand
from mai_depth.paths import flag_path

_MODEL = flags.DEFINE_string("model", None, "The student's .keras file.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "DIR/{train,validation}/{rgb,depth}. Default: the procedural scenes.")
_CACHE_DIR = flags.DEFINE_string("cache_dir", "~/.cache/mai_depth", "Folder for decoded pictures.")
_OUTPUT = flags.DEFINE_string("output", "benchmark/results/quantization.csv", "The table.")

_COLUMNS = ("model", "what", "layer", "si_rmse_change", "log_deviation")
_CALIBRATION = 64
_MOVING = ("ZeroPadding2D", "TFOpLambda")  # layers that make no new numbers


def main() -> None:
    """Measures one student and writes its rows."""
    if not _MODEL.value:
        raise UserError("--model: give the .keras file of a student")
    model, output = flag_path(_MODEL), flag_path(_OUTPUT)
    check_environment()
    start_tensorflow()
    kept = []
    if output.exists():
        kept = [row for row in csv.DictReader(output.open()) if row["model"] != model.stem]
    table = io.StringIO()
    writer = csv.DictWriter(table, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    rows = list(_rows(model))
    writer.writerows([*kept, *rows])
    write_text_atomic(output, table.getvalue())
    for row in sorted(rows, key=lambda row: -float(row["log_deviation"]))[:12]:
        print(*row.values())


def _rows(path: pathlib.Path):
    """Yields the rows of a student."""
    from mai_depth.data.representative import representative
    from mai_depth.data.sources import open_pictures
    from mai_depth.export.conversion import scaled_grids
    from mai_depth.export.stages import take_apart
    from mai_depth.network.model_file import load_model

    data = _DATA_DIR.value and str(expand(_DATA_DIR.value, "data_dir"))
    cache = str(expand(_CACHE_DIR.value, "cache_dir"))
    train, pairs = (open_pictures(data, split, cache_dir=cache) for split in
                    ("train", "validation"))
    parts = take_apart(load_model(path), path)
    probe = _Probe(parts.core, scaled_grids(parts, representative(train, _CALIBRATION)))
    grids = scaled_grids(parts, [pairs.rgb[index] for index in range(len(pairs))])
    truth = _Truth(pairs, parts.max_depth_m)
    expected = probe.logits(grids, (), ())
    start, exact = truth.si_rmse(expected), truth.log_depth(expected)
    yield dict(zip(_COLUMNS, (path.stem, "float", "", f"{start:.4f}", "0"), strict=True))
    results, kernels = tuple(probe.ranges), tuple(probe.rounded)
    plan = [("results", "all", results, ()), ("kernels", "all", (), kernels),
            ("everything", "all", results, kernels)]
    plan += [("result", name, (name,), ()) for name in results]
    plan += [("kernel", name, (), (name,)) for name in kernels]
    for what, layer, chosen, rounded in tqdm(plan):
        logits = probe.logits(grids, chosen, rounded)
        change = truth.si_rmse(logits) - start
        deviation = (truth.log_depth(logits) - exact).std(axis=(1, 2, 3)).mean()
        yield dict(zip(_COLUMNS, (path.stem, what, layer, f"{change:+.4f}", f"{deviation:.4f}"),
                       strict=True))


class _Probe:
    """A core in its integer form whose roundings are switched on one by one.

    Attributes:
        ranges: What 256 numbers of a layer's result cover, by the layer's name.
        rounded: The rounded kernel and the bias of a convolution, by its name.
    """

    def __init__(self, core, grids):
        import tensorflow as tf
        import tf_keras

        from mai_depth.quantize.integer_form import CONVOLUTIONS
        from mai_depth.quantize.integer_form import integer_form
        from mai_depth.quantize.ranges import measure_ranges
        from mai_depth.quantize.ranges import measure_scales

        scales = measure_scales(integer_form(core), grids)
        self._form = integer_form(core, scales)
        moving = {layer.name for layer in self._form.layers if type(layer).__name__ in _MOVING}
        ranges = measure_ranges(self._form, grids)
        self.ranges = {name: ranges[name] for name in ranges if name not in moving}
        self._on = {name: tf.Variable(False) for name in self.ranges}
        self.rounded, self._exact = {}, {}
        for layer in self._form.layers:
            if type(layer).__name__ in CONVOLUTIONS:
                self._exact[layer.name] = layer.get_weights()
                self.rounded[layer.name] = _nearest(*layer.get_weights())

        on, ranges = self._on, self.ranges

        class Rounded(tf_keras.layers.Layer):
            """A layer whose result is rounded where that is switched on."""

            def __init__(self, layer):
                super().__init__(name=f"{layer.name}_rounded")
                self.layer = layer

            def call(self, x):
                x, name = self.layer(x), self.layer.name
                return tf.cond(
                    on[name], lambda: tf.quantization.fake_quant_with_min_max_vars(
                        x, *ranges[name]), lambda: x)

        network = tf_keras.models.clone_model(
            self._form, clone_function=lambda layer: Rounded(layer) if layer.name in ranges
            else layer)
        self._run = tf.function(lambda x: network(x, training=False))

    def logits(self, grids, results, kernels):
        """`depth_logits` [count, h, w, 1] with these layers' results and kernels rounded."""
        import numpy as np

        for name, switch in self._on.items():
            switch.assign(name in results)
        for name, weights in self._exact.items():
            chosen = self.rounded[name] if name in kernels else weights
            self._form.get_layer(name).set_weights(chosen)
        return np.concatenate([self._run(grids[i : i + 8]) for i in range(0, len(grids), 8)])


def _nearest(kernel, bias):
    import numpy as np

    from mai_depth.quantize.ranges import LEVELS
    from mai_depth.quantize.ranges import kernel_limits

    steps = kernel_limits(kernel, bias) / LEVELS
    steps = steps.reshape((-1, 1) if kernel.shape[3] == 1 < kernel.shape[2] == len(bias) else (-1,))
    return [np.rint(kernel / steps) * steps, bias]


class _Truth:
    """The true depth of pictures on every third row and column."""

    def __init__(self, pairs, max_depth_m: float):
        import numpy as np

        self._depth = np.stack([pairs.depth_m(i)[1::3, 1::3] for i in range(len(pairs))])
        self._max_depth_m = max_depth_m

    def log_depth(self, logits):
        """Natural logarithm of metres, [count, h, w, 1]."""
        import numpy as np

        return np.log(self._max_depth_m) - np.logaddexp(0.0, -logits.astype(np.float64))

    def si_rmse(self, logits) -> float:
        """The mean over the pictures."""
        import numpy as np
        import tensorflow as tf

        from mai_depth.metrics import si_rmse

        depth = np.exp(self.log_depth(logits)).astype(np.float32)
        full = tf.image.resize(depth, (480, 640)).numpy()[:, 1::3, 1::3, 0]
        return float(np.mean([si_rmse(*pair) for pair in zip(self._depth, full, strict=True)]))


if __name__ == "__main__":
    command.run(main)
