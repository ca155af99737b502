"""The runs of the repeated Table 2: how each is started, what it leaves and its speed, as CSV."""

import csv
import dataclasses
import functools
import io
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from benchmark.conditions import read_load_average
from benchmark.measurement import measure
from benchmark.options import Options
from benchmark.report import Report
from benchmark.result_files import append_csv
from mai_depth.atomic import atomic_path
from mai_depth.atomic import write_bytes_atomic
from mai_depth.atomic import write_text_atomic
from mai_depth.errors import UserError
from mai_depth.json_file import read_json
from mai_depth.metrics import NAMES

STUDY_CSV = "study.csv"
LATENCY_CSV = "study_latency.csv"
CURVES = "curves"
COLUMNS = ("row", "name", "macs", "parameters", "seed", "distilled", "epochs", "best_epoch",
           "images", *NAMES, "paper_si_rmse")

_REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
_RECIPE = ("--flagfile=student.flags", "--flagfile=recipes/nyuv2.flags")


class PaperRow(NamedTuple):
    """A row of the paper's Table 2 and the si-RMSE there (of other pictures)."""

    row: str
    preset: str
    distilled: bool
    paper_si_rmse: float


ROWS = (
    PaperRow("1", "student_28m", False, 0.4019),
    PaperRow("2", "student_49m", False, 0.3621),
    PaperRow("3", "student_90m", False, 0.3304),
    PaperRow("4", "student_189m", False, 0.3005),
    PaperRow("3+dist", "student_90m", True, 0.3141),
)
REPEATED = ("3", "3+dist")  # the rows whose difference is the question: they get all the seeds


class Run(NamedTuple):
    """One training."""

    row: PaperRow
    seed: int
    workdir: pathlib.Path

    @property
    def name(self) -> str:
        """The name of its folder and of its training curve."""
        return f"{self.row.preset}{'_distilled' if self.row.distilled else ''}_seed{self.seed}"

    @property
    def student(self) -> pathlib.Path:
        """The trained network."""
        return self.workdir / self.name / "student.keras"


def planned(workdir: pathlib.Path, seeds: Sequence[int]) -> list[Run]:
    """Lists the runs of the study in their order.

    Args:
        workdir: The folder of their folders.
        seeds: Of the rows in `REPEATED`; the others have the first one alone.

    Returns:
        The runs; each row's first seed comes before any second one.
    """
    return [Run(row, seed, workdir) for number, seed in enumerate(seeds) for row in ROWS
            if number == 0 or row.row in REPEATED]


def train(run: Run, teacher: pathlib.Path, flags: Sequence[str]) -> None:
    """Runs train.py, which continues an interrupted run and leaves a finished one alone.

    Args:
        run: What to train.
        teacher: The `.keras` file to distil from.
        flags: What all runs have in common besides the flag files; paths are absolute.

    Raises:
        UserError: It failed; its own message stands above.
    """
    distillation = f"--teacher={teacher}" if run.row.distilled else "--distillation_loss_weight=0"
    command = [
        sys.executable, "train.py", *_RECIPE, *flags, f"--student={run.row.preset}",
        f"--seed={run.seed}", distillation, f"--workdir={run.student.parent}"]
    code = subprocess.run(command, cwd=_REPOSITORY, check=False).returncode
    if code:
        raise UserError(f"{run.student.parent}: train.py ended with {code}, see above; what is "
                        "finished is kept, the same command continues")


def write_runs(runs: Sequence[Run], teacher: pathlib.Path, output: pathlib.Path) -> None:
    """Writes `study.csv` and `curves/` of the runs that are finished, and of the teacher.

    Args:
        runs: As `planned`.
        teacher: Its `.keras` file; it has a line if its `.json` lies beside it.
        output: The folder.

    Raises:
        UserError: A run has left something else than it should.
    """
    (output / CURVES).mkdir(exist_ok=True)
    lines = list(_lines(runs, output / CURVES))
    record = _finished(teacher)
    if record:
        macs, parameters = _costs_of_teacher(teacher)
        lines.append(_line(record) | {"row": "teacher", "name": _teacher_name(record),
                                      "macs": macs, "parameters": parameters, "distilled": False})
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_text_atomic(output / STUDY_CSV, table.getvalue())


def peer(preset: str) -> str:
    """Names the paper's graph of the size of a preset, a key of `peer_files.PEERS`."""
    return preset.replace("student", "paper")


def write_latency(
    students: Mapping[str, pathlib.Path], folder: pathlib.Path, data_dir: pathlib.Path,
    cache_dir: pathlib.Path, output: pathlib.Path,
) -> None:
    """Times each size and the paper's graph of that size in one alternation, on one thread.

    Args:
        students: The trained network of each preset.
        folder: Where the `.tflite` files are written.
        data_dir: Its validation pictures verify the exports.
        cache_dir: Folder for decoded pictures.
        output: `study_latency.csv` is written there, one line for each graph.

    Raises:
        UserError: An export is not accurate, or a graph cannot be timed.
    """
    from benchmark.peers.files import write_peer
    from mai_depth.data.sources import open_split
    from mai_depth.export.litert import ExportOptions
    from mai_depth.export.litert import export_tflite

    folder.mkdir(exist_ok=True)
    pictures = open_split(str(data_dir), "validation", cache_dir=str(cache_dir))
    graphs = []
    for preset, student in students.items():
        print(f"exporting {preset} and the paper's graph of its size", flush=True)
        graphs += [folder / f"{preset}.tflite", folder / f"{peer(preset)}.tflite"]
        export_tflite(student, graphs[-2], ExportOptions(), pictures)
        write_peer(peer(preset), folder)
    print(f"timing {len(graphs)} graphs in alternation, one thread", flush=True)
    measured = measure(Options(tuple(map(str, graphs)), num_threads=1), read_load_average())
    with atomic_path(output / LATENCY_CSV) as temporary:
        append_csv(temporary, _with_names(measured))


def _with_names(report: Report) -> Report:
    """Calls each graph by its preset instead of its path."""
    for row in report.rows:
        if row.fault:
            raise UserError(f"{row.graph}: could not be timed ({row.fault})")
    return dataclasses.replace(report, rows=tuple(
        dataclasses.replace(row, graph=pathlib.Path(row.graph).stem) for row in report.rows))


def _lines(runs: Sequence[Run], curves: pathlib.Path) -> Iterator[dict[str, Any]]:
    for run in runs:
        record = _finished(run.student)
        if record is None:
            continue
        macs, parameters = _costs(run.row.preset)
        yield _line(record) | {
            "row": run.row.row, "name": run.row.preset, "macs": macs, "parameters": parameters,
            "distilled": run.row.distilled, "paper_si_rmse": run.row.paper_si_rmse}
        try:
            log = run.student.with_name("log.csv").read_bytes()
        except OSError as error:
            raise UserError(f"{error.filename}: cannot be read ({error.strerror}); remove "
                            f"{run.student.parent} to train it again") from error
        write_bytes_atomic(curves / f"{run.name}.csv", log)


def _finished(model: pathlib.Path) -> dict[str, Any] | None:
    """The record that a training wrote beside its model; None if there is no finished one."""
    path = model.with_suffix(".json")
    try:
        record = read_json(path)
        return record if record["finished"] else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not what a training leaves ({error!r}); remove its folder to "
                        "train it again") from error


def _line(record: Mapping[str, Any]) -> dict[str, Any]:
    recipe, metrics = record["recipe"], record["metrics"]
    return {"seed": recipe["seed"], "epochs": recipe["epochs"], "best_epoch": record["epoch"],
            "images": metrics["images"], **{name: metrics[name] for name in NAMES}}


def _teacher_name(record: Mapping[str, Any]) -> str:
    return record.get("builder", {}).get("teacher_preset", "teacher")


@functools.cache
def _costs(preset: str) -> tuple[int, int]:
    """Multiply-accumulates and parameters of a student."""
    from mai_depth.network.macs import count_macs
    from mai_depth.network.student import build_student

    model = build_student(preset)
    return count_macs(model), model.count_params()


@functools.cache
def _costs_of_teacher(path: os.PathLike) -> tuple[int, int]:
    from mai_depth.network.macs import count_macs
    from mai_depth.network.teacher import load_teacher

    model = load_teacher(path)
    return count_macs(model), model.count_params()
