"""The teachers that label pictures, and their joint answer."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from mai_depth.checksum import file_sha256
from mai_depth.depth import valid_mask
from mai_depth.errors import UserError
from mai_depth.network.depth_anything import LICENSES
from mai_depth.network.depth_anything import is_relative
from mai_depth.network.pretrained import list_pretrained
from mai_depth.training.ensemble import ask as ask_model
from mai_depth.training.ensemble import mean_of_logs
from mai_depth.training.relative_depth import fit_to_metres
from mai_depth.training.relative_depth import mean_inverse_depth


class UselessTeacher(UserError):
    """A teacher's answer is not a depth map."""


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A loaded teacher.

    Attributes:
        name: Name of its file or preset.
        sha256: sha256 of its file, or of a preset's weights.
        relative: Whether it answers with inverse depth without a unit.
        license: Licence of its weights; None if unknown.
        model: From [1, 480, 640, 3] RGB 0..255 to [1, 480, 640, 1].
    """

    name: str
    sha256: str
    relative: bool
    license: str | None
    model: Any

    def describe(self) -> dict[str, Any]:
        """Returns its entry in `labels.json`."""
        return {"name": self.name, "sha256": self.sha256,
                "kind": "relative" if self.relative else "metric", "license": self.license}


def open_teacher(source: str | os.PathLike) -> Teacher:
    """Loads a teacher.

    Args:
        source: A `.keras` file, or a preset of `depth_anything.LICENSES`.

    Returns:
        The teacher.

    Raises:
        UserError: As `load_teacher`.
    """
    from mai_depth.network.teacher import load_teacher

    model = load_teacher(source, allow_relative=True)
    if source in LICENSES:
        weights = b"".join(value.tobytes() for value in model.get_weights())
        digest = hashlib.sha256(weights).hexdigest()
    else:
        digest = file_sha256(source)
    return Teacher(pathlib.Path(source).name, digest, is_relative(model),
                   _license(model.name, digest), model)


def _license(name: str, sha256: str) -> str | None:
    """The licence of a shipped network, or of a Depth Anything preset saved under its own name."""
    shipped = {entry["sha256"]: entry.get("license") for entry in list_pretrained()}
    return shipped.get(sha256, LICENSES.get(name))


def ask(teachers: Sequence[Teacher], rgb: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Asks every teacher for the depth of a picture and of its mirror image.

    With a metric teacher among them, each answer of a relative one is fitted to the mean of the
    metric ones, and the mean of log depth is taken over all. Without one, `mean_inverse_depth`
    averages them.

    Args:
        teachers: At least one.
        rgb: uint8 [480, 640, 3].

    Returns:
        float32 [480, 640] in metres, 0 = missing, or without a metric teacher inverse depth from 0
        to 1; and the names of the relative teachers that contradict the metric ones and are left
        out.

    Raises:
        UselessTeacher: An answer is not a depth map.
    """
    metric, relative = [], []
    for teacher in teachers:
        answers = _both_ways(teacher, rgb)
        if teacher.relative:
            relative += [(teacher.name, answer) for answer in answers]
        else:
            metric += answers
    if not metric:
        return mean_inverse_depth([answer for _, answer in relative]), []
    metres = mean_of_logs(metric)
    fitted = [(name, fit_to_metres(answer, metres)) for name, answer in relative]
    metric += [depth for _, depth in fitted if depth is not None]
    return mean_of_logs(metric), sorted({name for name, depth in fitted if depth is None})


def _both_ways(teacher: Teacher, rgb: np.ndarray) -> list[np.ndarray]:
    # One at a time: a model may have been built for a batch of one.
    answers = [answer[0, ..., 0] for answer in ask_model(
        teacher.model, rgb[None].astype(np.float32), mirror=True)]
    for answer in answers:
        good = np.isfinite(answer).all() and (teacher.relative or valid_mask(answer).any())
        if not good:
            raise UselessTeacher(
                f"{teacher.name}: this teacher answers {answer.min():g} to {answer.max():g}, which "
                "is not a depth map; give another --teacher")
    return answers
