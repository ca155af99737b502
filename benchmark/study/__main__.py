"""Repeats Table 2 of the paper on NYU Depth V2, from the flag files, and reports what came of it.

    python -m benchmark.study --data_dir=NYUV2 --teacher=teacher.keras
    python -m benchmark.study --only_report    # tables and plots again, from the CSV files alone

Runs train.py for every row and seed, one after the other. It may be killed at any time: the same
command continues.
"""

import importlib.util
import pathlib

from absl import flags
from absl import logging

from benchmark.study import report as study_report
from benchmark.study import runs as study_runs
from mai_depth import command
from mai_depth import number_flags
from mai_depth.environment import check_environment
from mai_depth.environment import start_tensorflow
from mai_depth.errors import UserError
from mai_depth.network.pretrained import is_name
from mai_depth.paths import expand
from mai_depth.workdir import make_workdir

_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Pictures: DIR/{train,validation}/{rgb,depth}/NAME.{png,jpg}.")
_CACHE_DIR = flags.DEFINE_string("cache_dir", "~/.cache/mai_depth", "Folder for decoded pictures.")
_ENCODER_WEIGHTS = flags.DEFINE_string(
    "encoder_weights", "imagenet", "Where all encoders start; as of train.py.")
_TEACHER = flags.DEFINE_string(
    "teacher", None, "The .keras depth model of the row 3+dist (train.py --train=teacher).")
_WORKDIR = flags.DEFINE_string("workdir", "runs/study", "Folder for the folders of the runs.")
_OUTPUT = flags.DEFINE_string(
    "output", "benchmark/results", "Folder for the tables and plots; its README.md gets the table.")
_SEEDS = number_flags.define_integers(
    "seeds", [0, 1, 2], "Seeds of the rows 3 and 3+dist; the other rows have the first.",
    0, 2**32 - 1, form="whole numbers")
_ONLY_REPORT = flags.DEFINE_bool(
    "only_report", False, "Train and time nothing: make the table and the plots from the CSV files "
    "in --output.")


def main() -> None:
    """Trains what is missing, times the graphs, writes tables and plots."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("matplotlib is not installed: pip install matplotlib")
    output = make_workdir(_folder(_OUTPUT), _OUTPUT.name)
    if not _ONLY_REPORT.value:
        _measure(output)
    print(study_report.write_report(output))


def _measure(output: pathlib.Path) -> None:
    data_dir, teacher, seeds = _folder(_DATA_DIR), _teacher(), _seeds()
    check_environment()
    logging.set_verbosity(logging.WARNING)
    start_tensorflow()
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")  # it is for the runs; this only counts and exports
    workdir, cache_dir = _absolute(_WORKDIR), _absolute(_CACHE_DIR)
    make_workdir(workdir)
    encoder = _ENCODER_WEIGHTS.value
    if encoder not in ("imagenet", "none") and not is_name(encoder):
        encoder = _absolute(_ENCODER_WEIGHTS)
    common = [f"--data_dir={data_dir}", f"--cache_dir={cache_dir}", f"--encoder_weights={encoder}"]
    runs = study_runs.planned(workdir, seeds)
    for number, run in enumerate(runs, start=1):
        print(f"run {number} of {len(runs)}: {run.name}", flush=True)
        study_runs.train(run, teacher, common)
        study_runs.write_runs(runs, teacher, output)
    students = {run.row.preset: run.student for run in reversed(runs) if not run.row.distilled}
    study_runs.write_latency(students, workdir / "graphs", data_dir, cache_dir, output)


def _folder(flag: flags.FlagHolder) -> pathlib.Path:
    if not flag.value:
        raise UserError(f"--{flag.name}: give a folder")
    folder = _absolute(flag)
    if not folder.is_dir():
        raise UserError(f"--{flag.name}={folder}: no such folder")
    return folder


def _teacher() -> pathlib.Path:
    if not _TEACHER.value:
        raise UserError("--teacher: give the .keras file that train.py --train=teacher has written")
    path = _absolute(_TEACHER)
    if not path.is_file():
        raise UserError(f"--teacher={path}: no such file")
    return path


def _seeds() -> list[int]:
    seeds = _SEEDS.value
    if not seeds or len(set(seeds)) < len(seeds):
        given = ",".join(map(str, seeds))
        raise UserError(f"--seeds={given}: give different numbers, at least one")
    return seeds


def _absolute(flag: flags.FlagHolder) -> pathlib.Path:
    """The absolute path, since train.py runs in the repository."""
    return expand(flag.value, flag.name).absolute()


if __name__ == "__main__":
    command.run(main)
