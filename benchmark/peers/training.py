"""python -m benchmark.peers.training [--torch_python=PYTHON]

Trains one student by this project and by PyTorch, in turns: the same network, loss, optimizer,
average and augmentation, the same decoded pictures. Pictures a second of the whole step, by the
clock and in processor time. Nothing is kept.

PyTorch may have an environment of its own: python -m venv torch; torch/bin/pip install torch numpy;
--torch_python=torch/bin/python.
"""

import contextlib
import dataclasses
import os
import shutil
import sys
import tempfile
from typing import Any

from absl import flags
from tqdm import tqdm

from benchmark.peers.training_rounds import print_table
from benchmark.process import ChildProcess
from mai_depth import command
from mai_depth import number_flags
from mai_depth.data.augmentation import Augmentation
from mai_depth.errors import UserError
from mai_depth.paths import expand
from mai_depth.training.run import Recipe

_DATA_DIR = command.define_replaceable("data_dir", "As in train.py. Default: scenes.")
_CACHE_DIR = flags.DEFINE_string("cache_dir", "~/.cache/mai_depth", "As in train.py.")
_STUDENT = flags.DEFINE_string("student", "student_90m", "As in train.py.")
_BATCH_SIZE = number_flags.define_integer("batch_size", 32, "Pictures in a step.", 1, 256)
_MIN_CROP = number_flags.define_float("min_crop", 0.6, "As in train.py.", 0.1, 1.0)
_GRADIENT_LOSS_WEIGHT = number_flags.define_float(
    "gradient_loss_weight", 0.0, "As in train.py.", 0.0, 1e6)
_STEPS = number_flags.define_integer("steps", 20, "Of each in a round.", 1, 100_000)
_ROUNDS = number_flags.define_integer("rounds", 5, "How many; their medians are told.", 1, 1000)
_TORCH_PYTHON = flags.DEFINE_string(
    "torch_python", sys.executable, "A Python that has torch. Default: this one.")
_COMPILED = flags.DEFINE_bool(
    "compiled", True, "Also torch.compile, which needs a C++ compiler.")

OURS, EAGER, COMPILED = "mai_depth", "PyTorch", "PyTorch compiled"
_SAME = 1e-3


def main() -> None:
    """Trains in turns and prints a table."""
    recipe = Recipe(
        epochs=100_000, batch_size=_BATCH_SIZE.value, ema_momentum=0.98,
        gradient_loss_weight=_GRADIENT_LOSS_WEIGHT.value,
        augmentation=Augmentation(min_crop=_MIN_CROP.value))
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        trainings = _open(folder, recipe, stack)
        rounds = _in_turns(trainings)
    print_table(rounds, _STEPS.value * _BATCH_SIZE.value)
    print(f"{_ROUNDS.value} rounds of {_STEPS.value} steps of {_BATCH_SIZE.value} pictures, in "
          f"turns; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


def _open(
    folder: str, recipe: Recipe, stack: contextlib.ExitStack
) -> dict[str, ChildProcess]:
    """Starts all trainings; each has shown that it computes the same loss of one batch."""
    python = str(expand(_TORCH_PYTHON.value, "torch_python"))
    if not shutil.which(python):
        raise UserError(f"--torch_python={python}: no such program")
    names = [EAGER, COMPILED] if _COMPILED.value else [EAGER]
    # Threads of OpenMP that wait in a loop take the processors from whoever else uses the machine.
    patient = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
    torch = {name: stack.enter_context(ChildProcess(
        "benchmark.peers.torch_training", environment=patient, subject=name, python=python))
        for name in names}
    torch[EAGER].call("check")  # before this project's side takes a minute
    ours = stack.enter_context(ChildProcess("benchmark.peers.keras_training", subject=OURS))
    opened = ours.call(
        "open", folder=folder, data_dir=[str(expand(text, "data_dir")) for text in _DATA_DIR.value],
        cache_dir=str(expand(_CACHE_DIR.value, "cache_dir")), student=_STUDENT.value,
        recipe=dataclasses.asdict(recipe))
    for name, child in torch.items():
        loss = child.call("open", folder=folder, compiled=name == COMPILED,
                          settings=opened["settings"])
        print(f"loss of one batch: {opened['loss']:.5f} here, {loss:.5f} in {name}",
              flush=True)
        if abs(loss - opened["loss"]) > _SAME * abs(opened["loss"]):
            raise UserError(f"--student={_STUDENT.value}: PyTorch computes another loss; a fault "
                            "of benchmark.peers")
    return {OURS: ours, **torch}


def _in_turns(trainings: dict[str, ChildProcess]) -> dict[str, list[dict[str, Any]]]:
    """The rounds of each training by its name; a first one, not counted, warms up."""
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in trainings}
    before = {name: child.call("steps", count=_STEPS.value)["cpu_s"]
              for name, child in trainings.items()}
    for number in tqdm(range(_ROUNDS.value), "rounds", leave=False):
        for name in list(trainings)[:: 1 if number % 2 == 0 else -1]:
            done = trainings[name].call("steps", count=_STEPS.value)
            # What is read ahead after a round belongs to the next one.
            done["cpu_s"], before[name] = done["cpu_s"] - before[name], done["cpu_s"]
            rounds[name].append(done)
    return rounds


if __name__ == "__main__":
    command.run(main)
