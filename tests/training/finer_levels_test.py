"""Train fine, deploy coarse: finer levels teach the student, are resumed exactly, and not saved."""

import dataclasses
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import REPOSITORY

from mai_depth.data.augmentation import Augmentation
from mai_depth.data.sources import DataOptions
from mai_depth.errors import UserError
from mai_depth.network.model_file import load_model
from mai_depth.network.student import build_student
from mai_depth.training import checkpoint
from mai_depth.training.attempt import Attempt
from mai_depth.training.distiller import Distiller
from mai_depth.training.finer_levels import with_finer_levels
from mai_depth.training.fit import fit_depth_model
from mai_depth.training.job import Student
from mai_depth.training.job import TrainingJob
from mai_depth.training.plan import plan_student
from mai_depth.training.run import Recipe
from mai_depth.training.runs import open_and_describe

COARSE = Student("student_28m", alpha=0.35, decoder_stride=16, grid_size=(96, 128), train_stride=4)
MAX_DEPTH_M = 10.0


class Killed(BaseException):
    """Stands for a process that ends here."""


@pytest.fixture(scope="module")
def student():
    keras.utils.set_random_seed(0)
    return build_student(
        "student_28m", alpha=0.35, decoder_stride=16, grid_size=(96, 128), max_depth_m=MAX_DEPTH_M)


@pytest.fixture(scope="module")
def data(tiny_data, tmp_path_factory):
    options = DataOptions(data_dir=(str(tiny_data),),
                          cache_dir=str(tmp_path_factory.mktemp("cache")))
    return options, open_and_describe(options)


def plan(folder, data, student=COARSE, **recipe):
    options, pairs = data
    settings = {"epochs": 2, "batch_size": 6, "learning_rate": 1e-3, "ema_momentum": 0.9,
                "augmentation": Augmentation(min_crop=0.7), **recipe}
    folder.mkdir(exist_ok=True)
    job = TrainingJob(folder, options, student, recipe=Recipe(**settings), max_depth_m=MAX_DEPTH_M)
    return plan_student(job, *pairs)


def batch(count=2, seed=0):
    random = np.random.default_rng(seed)
    return {"image": random.uniform(0, 255, (count, 96, 128, 3)).astype(np.float32),
            "depth": random.uniform(1, 5, (count, 96, 128, 1)).astype(np.float32)}


def test_the_view_goes_on_where_the_student_stops(student):
    view = with_finer_levels(student, 2, "concat")
    shapes = [one["depth"].shape[1:] for one in view.output["finer"]]
    assert shapes == [(12, 16, 1), (24, 32, 1), (48, 64, 1)]
    assert view.output["depth"].shape[1:] == (6, 8, 1)
    own = {id(weight) for weight in student.weights}
    assert own <= {id(weight) for weight in view.weights}
    assert len(view.weights) > len(own)
    assert not any("decoder_p3" in layer.name for layer in student.layers)


def test_finer_maps_start_at_the_depth_of_the_student(student):
    view = with_finer_levels(student, 8, "add")
    kernel, _ = student.get_layer("depth_logits").get_weights()
    student.get_layer("depth_logits").set_weights([kernel, np.full(1, -1.5, np.float32)])
    view = with_finer_levels(student, 8, "add")
    assert view.get_layer("depth_logits_8").get_weights()[1] == pytest.approx(-1.5)


def test_the_loss_is_the_students_and_the_mean_of_the_finer_ones(student):
    view = with_finer_levels(student, 4, "concat")
    distiller = Distiller(student, view=view, max_depth_m=MAX_DEPTH_M, map_size=(48, 64))
    losses, given = {}, batch()
    output = view(given["image"])
    for name, part in (("coarse", output), ("8", output["finer"][0]), ("4", output["finer"][1])):
        losses[name] = float(distiller._terms(part, given["depth"], None)["student_loss"])
    terms = distiller._terms(output, given["depth"], None)
    distiller._add_finer(terms, output, given, None)
    assert float(terms["finer_loss"]) == pytest.approx((losses["8"] + losses["4"]) / 2, rel=1e-5)
    assert float(terms["total_loss"]) == pytest.approx(
        losses["coarse"] + float(terms["finer_loss"]), rel=1e-5)


def test_a_step_trains_the_student_through_its_finer_levels(student):
    view = with_finer_levels(student, 4, "concat")
    distiller = Distiller(student, view=view, max_depth_m=MAX_DEPTH_M)
    distiller.compile(optimizer=keras.optimizers.SGD(0.1))
    names = ("expanded_conv_project", "decoder_p4_conv")
    before = [student.get_layer(name).get_weights()[0] for name in names]
    finer = view.get_layer("decoder_p2_conv").get_weights()[0]
    logs = distiller.train_step(batch())
    assert {"total_loss", "student_loss", "distillation_loss", "finer_loss"} == set(logs)
    for name, old in zip(names, before, strict=True):
        assert not np.array_equal(student.get_layer(name).get_weights()[0], old)
    assert not np.array_equal(view.get_layer("decoder_p2_conv").get_weights()[0], finer)


def test_a_coarse_map_is_compared_with_the_teachers_at_the_size_of_the_finest(student):
    distiller = Distiller(
        student, max_depth_m=MAX_DEPTH_M, distillation_loss_weight=1.0, map_size=(48, 64))
    target = distiller._target({"teacher_depth": np.full((1, 48, 64, 1), 2.0, np.float32)})
    assert target.shape == (1, 48, 64, 1)
    answer = distiller._answer({"logits": np.zeros((1, 6, 8, 1), np.float32)})
    assert answer.shape == (1, 48, 64, 1)


# In a process of its own: only one that begins deterministically repeats itself to the bit.
RESUME = """
import pathlib, sys
from mai_depth.environment import compute_deterministically
compute_deterministically()
sys.path[:0] = sys.argv[3:]
from finer_levels_test import resume
resume(*map(pathlib.Path, sys.argv[1:3]))
"""


@pytest.mark.slow
def test_the_saved_student_is_the_deployed_graph_and_a_resume_is_bit_identical(
        tmp_path, tiny_data):
    tests = REPOSITORY / "tests"
    command = [
        sys.executable, "-c", RESUME, tiny_data, tmp_path, tests / "training", tests]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    path = tmp_path / "broken/student.keras"
    assert "finer_loss" in path.with_name("log.csv").read_text().splitlines()[0]
    assert path.with_name("log.csv").read_text() == (tmp_path / "unbroken/log.csv").read_text()
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["builder"]["train_stride"] == 4 and record["builder"]["decoder_stride"] == 16
    saved = load_model(path)
    assert saved.get_layer("depth_logits").output.shape[1:] == (6, 8, 1)
    assert not any(word in layer.name for layer in saved.layers
                   for word in ("decoder_p3", "decoder_p2", "depth_logits_"))


def resume(tiny_data, folder):
    """Unbroken, and killed after the first epoch: all weights, finer ones too, end the same."""
    options = DataOptions(data_dir=(str(tiny_data),), cache_dir=str(folder / "cache"))
    data = options, open_and_describe(options)
    ends, finish = [], Attempt._finish

    def note(self):
        ends.append([variable.value.numpy() for variable in self.variables])
        return finish(self)

    keep = Attempt._keep

    def keep_and_die(self, *args):
        keep(self, *args)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Attempt, "_finish", note)
        fit_depth_model(plan(folder / "unbroken", data))
        broken = plan(folder / "broken", data)
        with patch.context() as killing, pytest.raises(Killed):
            killing.setattr(Attempt, "_keep", keep_and_die)
            fit_depth_model(broken)
        assert checkpoint.load_state(broken.path).epoch == 1
        fit_depth_model(broken)
    names = [variable.path for variable in Attempt(broken, None, 0).variables]
    assert any("decoder_p2" in name for name in names)
    assert len(ends[0]) == len(ends[1]) == len(names)
    for name, one, other in zip(names, *ends, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)


def test_the_depth_of_the_loss_does_not_shrink_with_the_map(tmp_path, data):
    run = plan(tmp_path / "run", data)
    assert run.depth_size == (96, 128) and run.map_size == (48, 64)
    ordinary = plan(tmp_path / "run", data, Student("student_28m", alpha=0.35))
    assert ordinary.depth_size is None and ordinary.extend is None
    assert set(ordinary.record["builder"]) == {
        "preset", "alpha", "decoder_filters", "minimalistic", "antialias", "encoder_weights"}


def test_levels_that_are_not_finer_are_refused(tmp_path, data):
    coarse = dataclasses.replace(COARSE, decoder_stride=4, train_stride=4)
    with pytest.raises(UserError, match="--train_stride=4: must be finer than --decoder_stride=4"):
        plan(tmp_path / "run", data, coarse)
