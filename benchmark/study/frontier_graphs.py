"""The graphs of the ladder from the paper's to the fastest, and what each costs."""

import dataclasses
import pathlib
from typing import Any

from benchmark.conditions import read_load_average
from benchmark.measurement import measure
from benchmark.options import Options
from mai_depth.atomic import write_bytes_atomic
from mai_depth.errors import UserError

PAPER = "paper_90m"
REFERENCE = "student_90m"
MEAN_MAP = "mean_map"

LADDER: dict[str, dict[str, Any]] = {
    REFERENCE: {},
    "add_stop8": {"fusion": "add", "decoder_stride": 8},
    "add_stop8_96": {"fusion": "add", "decoder_stride": 8, "grid_size": (96, 128)},
    "stop16": {"decoder_stride": 16},
    "stop16_slim": {"decoder_stride": 16, "slim": True},
    "stop16_96": {"decoder_stride": 16, "grid_size": (96, 128)},
    "a75_stop16_96": {"alpha": 0.75, "decoder_stride": 16, "grid_size": (96, 128)},
    "a75_stop16_96_slim": {
        "alpha": 0.75, "decoder_stride": 16, "grid_size": (96, 128), "slim": True},
    "a50_stop16_96": {"alpha": 0.5, "decoder_stride": 16, "grid_size": (96, 128)},
    "balanced": {"preset": "balanced"},
    "accurate": {"preset": "accurate"},
    "sharp": {"preset": "sharp"},
}
"""What `build_student` is given by the name of the arm; the preset is `student_90m` if none is."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a graph costs, in float32 on one thread.

    Attributes:
        macs: Multiply-accumulates of the Keras graph.
        run_macs: Those that the exported graph runs.
        time: Processor time of an invoke as a multiple of the paper's graph, all in one
            alternation. Of one thread it is the time on an idle machine; on a busy one a median is
            not, because a long invoke is interrupted more often than a short one.
        time_student_90m: The same as a multiple of `student_90m`.
        a72_instructions: Of one invoke on an emulated Cortex-A72; None where not counted.
    """

    macs: int
    run_macs: int
    time: float
    time_student_90m: float
    a72_instructions: int | None = None


def measure_costs(folder: pathlib.Path, arm64: str | None, min_secs: float) -> dict[str, Cost]:
    """Builds all graphs with random weights and measures them together.

    Args:
        folder: Where the `.tflite` files are written.
        arm64: Folder of the emulator, see `benchmark.arm64`, or None.
        min_secs: Seconds of timed runs of each graph.

    Returns:
        By arm, `paper_90m` and `mean_map` (a graph that reads and writes VGA) among them.

    Raises:
        UserError: A graph cannot be run.
    """
    macs = _write_graphs(folder)
    paths = tuple(str(folder / f"{arm}.tflite") for arm in macs)
    options = Options(paths, arm64=arm64, min_secs=min_secs, roofline=False)
    report = measure(options, read_load_average())
    rows = {arm: row for arm, row in zip(macs, report.rows, strict=True)}
    for arm, row in rows.items():
        if not row.cpu_ms:
            raise UserError(f"{arm}.tflite: could not be timed ({row.fault}); run it again")
    spent = {arm: float(row.cpu_ms or 0) for arm, row in rows.items()}
    return {arm: Cost(macs[arm], row.macs, spent[arm] / spent[PAPER],
                      spent[arm] / spent[REFERENCE], row.arm64_instructions)
            for arm, row in rows.items()}


def _write_graphs(folder: pathlib.Path) -> dict[str, int]:
    """Writes each graph; gives its multiply-accumulates."""
    import keras

    from benchmark.peers.files import write_peer
    from mai_depth.export.conversion import convert
    from mai_depth.export.stages import take_apart
    from mai_depth.network.converter import to_tflite
    from mai_depth.network.macs import count_macs
    from mai_depth.network.student import build_student

    macs = {PAPER: int(write_peer(PAPER, folder)["macs"])}
    for arm, settings in LADDER.items():
        keras.utils.set_random_seed(0)
        model = build_student(**settings)
        write_bytes_atomic(folder / f"{arm}.tflite", convert(take_apart(model, arm)).data())
        macs[arm] = count_macs(model)
    write_bytes_atomic(folder / f"{MEAN_MAP}.tflite", to_tflite(_reading_and_writing()))
    return macs | {MEAN_MAP: 0}


def _reading_and_writing() -> Any:
    """A graph that looks at 6x8 pixels of a picture and writes a map: no network is faster."""
    import keras

    from mai_depth.network.resize import resized
    from mai_depth.network.resize import upsample
    from mai_depth.network.student import IMAGE_SIZE

    image = keras.Input((*IMAGE_SIZE, 3), batch_size=1, name="image")
    grid = keras.layers.Conv2D(1, 1, activation="sigmoid")(resized(image, (6, 8)))
    return keras.Model(image, upsample(grid, IMAGE_SIZE, "fast_bilinear"))
