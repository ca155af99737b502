"""python -m benchmark.training [--data_dir=DIR] [--student=student_90m] [--batch_size=32]

Where a training step goes: reading, augmentation, forward, backward, optimizer, the average of the
weights; and what an epoch adds: evaluation, state. Nothing is trained.
"""

import pathlib
import tempfile

from absl import flags

from mai_depth import command
from mai_depth import number_flags
from mai_depth.data.augmentation import Augmentation
from mai_depth.data.sources import DataOptions
from mai_depth.environment import check_environment
from mai_depth.environment import start_tensorflow
from mai_depth.paths import expand
from mai_depth.training.job import Student
from mai_depth.training.job import TrainingJob
from mai_depth.training.run import Recipe

_DATA_DIR = command.define_replaceable("data_dir", "As in train.py. Default: scenes.")
_CACHE_DIR = flags.DEFINE_string("cache_dir", "~/.cache/mai_depth", "As in train.py.")
_STUDENT = flags.DEFINE_string("student", "student_90m", "As in train.py.")
_BATCH_SIZE = number_flags.define_integer("batch_size", 32, "Pictures in a step.", 1, 65_536)
_MIN_CROP = number_flags.define_float("min_crop", 0.6, "As in train.py.", 0.1, 1.0)
_STEPS = number_flags.define_integer("steps", 20, "How many are timed.", 1, 1_000_000)


def main() -> None:
    """Measures and prints a table."""
    check_environment()
    start_tensorflow()
    from benchmark.training_profile import profile_training
    from mai_depth.training.plan import plan_student
    from mai_depth.training.runs import open_and_describe

    data = DataOptions(data_dir=tuple(str(expand(text, "data_dir")) for text in _DATA_DIR.value),
                       cache_dir=str(expand(_CACHE_DIR.value, "cache_dir")))
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(batch_size=_BATCH_SIZE.value, ema_momentum=0.98,
                        augmentation=Augmentation(min_crop=_MIN_CROP.value))
        job = TrainingJob(pathlib.Path(folder), data, Student(_STUDENT.value), recipe=recipe)
        profile = profile_training(
            plan_student(job, *open_and_describe(data)), _STEPS.value)
    print(f"{'part':<18}{'wall ms':>9}{'cpu ms':>9}{'% of an epoch (cpu)':>21}")
    epoch = profile.steps * profile.cpu_ms("whole step") + sum(
        part.cpu_ms for part in profile.parts if part.each == "epoch")
    for part in profile.parts:
        share = 100 * part.cpu_ms * (profile.steps if part.each == "step" else 1) / epoch
        print(f"{part.name:<18}{part.wall_ms:9.1f}{part.cpu_ms:9.1f}{share:21.1f}  a {part.each}")
    whole = next(part for part in profile.parts if part.name == "whole step")
    print(f"{profile.steps} steps of {profile.batch_size} pictures an epoch; "
          f"{1e3 * profile.batch_size / whole.wall_ms:.1f} pictures a second, "
          f"{1e3 * profile.batch_size / whole.cpu_ms:.1f} a second of processor time; "
          f"{profile.peak_percent:.0f} % of a matrix product's speed")


if __name__ == "__main__":
    command.run(main)
