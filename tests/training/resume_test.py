"""A training that was interrupted in any way ends as if it had not been."""

import csv
import dataclasses
import json
import os
import resource
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import REPOSITORY
from small_run import small_model
from small_run import small_run

from mai_depth.data.augmentation import Augmentation
from mai_depth.errors import UserError
from mai_depth.stopping import Stopped
from mai_depth.training import attempt as trainer
from mai_depth.training import callbacks
from mai_depth.training import checkpoint
from mai_depth.training import fit as fitting
from mai_depth.training.distiller import Distiller
from mai_depth.training.fit import fit_depth_model
from mai_depth.training.run import Recipe
from mai_depth.training.run import RunOptions
from mai_depth.training.run import is_complete

STEPS = 3  # in an epoch of `small_run`


class Killed(BaseException):
    """Stands for a process that ends here."""


@pytest.fixture(scope="module")
def unbroken(tiny_data, tmp_path_factory):
    """The folder of a run that nothing has disturbed."""
    run = small_run(tiny_data, tmp_path_factory.mktemp("unbroken") / "run")
    fit_depth_model(run)
    return run.path.parent


@pytest.fixture()
def folder(tmp_path):
    return tmp_path / "run"


def at_step(monkeypatch, number, action):
    """Calls `action(callback)` after step `number` of the next training, counted from 1."""
    original, calls = callbacks.AverageWeights.on_train_batch_end, []

    def on_train_batch_end(self, batch, logs=None):
        original(self, batch, logs)
        calls.append(batch)
        if len(calls) == number:
            action(self)

    monkeypatch.setattr(callbacks.AverageWeights, "on_train_batch_end", on_train_batch_end)


def interrupt(monkeypatch, run, step):
    def kill(_):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        at_step(patch, step, kill)
        fit_depth_model(run)


def rows(folder):
    with open(folder / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def assert_like(folder, unbroken):
    assert [row["epoch"] for row in rows(folder)] == [row["epoch"] for row in rows(unbroken)]
    for row, expected in zip(rows(folder), rows(unbroken), strict=True):
        assert {k: float(v) for k, v in row.items()} == pytest.approx(
            {k: float(v) for k, v in expected.items()}, rel=1e-4)
    one, other = (keras.saving.load_model(place / "student.keras", compile=False).get_weights()
                  for place in (folder, unbroken))
    for value, expected in zip(one, other, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)
    assert sorted(os.listdir(folder)) == sorted(os.listdir(unbroken))


def states(folder):
    return sorted(path.name for path in folder.glob("*.state"))


def test_a_run_killed_twice_ends_like_an_unbroken_one(
        tiny_data, folder, unbroken, monkeypatch, capsys):
    run = small_run(tiny_data, folder)
    interrupt(monkeypatch, run, 2)
    assert not states(folder)
    interrupt(monkeypatch, run, STEPS + 2)
    assert states(folder) == ["student-0001.state"]
    assert not is_complete(run.path)
    interrupt(monkeypatch, run, STEPS + 2)
    assert "continuing after epoch 1 of 3" in capsys.readouterr().out
    assert states(folder) == ["student-0001.state", "student-0002.state"]
    fit_depth_model(run)
    assert_like(folder, unbroken)


@pytest.mark.parametrize("settings", [
    {"mixed_precision": True},
    {"distill": "features", "distillation_loss_weight": 0.5},
], ids=["loss scale", "projection"])
def test_every_kind_of_variable_comes_back(tiny_data, folder, monkeypatch, settings):
    keras.utils.set_random_seed(1)
    teacher = small_model(6) if "distill" in settings else None
    settings = {"epochs": 2, "teacher": teacher, **settings}
    whole = small_run(tiny_data, folder.with_name("whole"), **settings)
    fit_depth_model(whole)
    run = small_run(tiny_data, folder, **settings)
    interrupt(monkeypatch, run, STEPS + 1)
    fit_depth_model(run)
    assert_like(folder, whole.path.parent)


def test_a_finished_run_does_nothing(tiny_data, unbroken, monkeypatch):
    monkeypatch.setattr(fitting, "Attempt", None)
    before = {path.name: path.stat().st_mtime_ns for path in unbroken.iterdir()}
    metrics = fit_depth_model(small_run(tiny_data, unbroken))
    assert metrics == json.loads((unbroken / "student.json").read_text())["metrics"]
    assert before.items() <= {p.name: p.stat().st_mtime_ns for p in unbroken.iterdir()}.items()


CHANGES = {
    "epochs": ({"epochs": 2}, "epochs was 3, is 2"),
    "learning rate": ({"learning_rate": 0.5}, "learning_rate was 0.01, is 0.5"),
    "two": ({"batch_size": 2, "seed": 1}, "batch_size was 4, is 2; seed was 0, is 1"),
    "augmentation": ({"augmentation": Augmentation(min_crop=0.7, sharpness=1.0)},
                     "sharpness was None, is 1.0"),
    "architecture": ({"filters": 8}, "filters was 4, is 8"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_run_in_the_folder_is_refused(tiny_data, folder, unbroken, monkeypatch, change):
    settings, message = CHANGES[change]
    with pytest.raises(UserError, match=message):
        fit_depth_model(small_run(tiny_data, unbroken, **settings))
    if change == "epochs":  # the same of an unfinished one
        interrupt(monkeypatch, small_run(tiny_data, folder), STEPS + 1)
        before = states(folder)
        with pytest.raises(UserError, match=message):
            fit_depth_model(small_run(tiny_data, folder, **settings))
        assert states(folder) == before


def test_what_earlier_versions_lacked_does_not_refuse_their_runs():
    assert set(Recipe().record["augmentation"]) == {
        "flip", "brightness", "gamma", "color", "min_crop", "max_roll_deg"}
    sharpened = Recipe(augmentation=Augmentation(sharpness=0.5))
    assert sharpened.record["augmentation"]["sharpness"] == 0.5


def test_other_data_are_refused(tiny_data, unbroken):
    run = small_run(tiny_data, unbroken)
    run = type(run)(**{**vars(run), "train_pairs": run.train_pairs.select(range(11))})
    with pytest.raises(UserError, match=r"train_data was \w{12}, is \w{12}"):
        fit_depth_model(run)


def test_a_finished_run_that_knew_less_is_another_run(tiny_data, unbroken):
    run = small_run(tiny_data, unbroken)
    run = dataclasses.replace(run, description={**run.description, "teacher": "0123"})
    with pytest.raises(UserError, match=r"holds another run .*teacher"):
        fit_depth_model(run)


def test_a_model_of_unknown_origin_is_not_replaced(tiny_data, folder):
    run = small_run(tiny_data, folder)
    run.path.write_text("precious")
    with pytest.raises(UserError, match="does not belong to a run that can be continued"):
        fit_depth_model(run)
    assert run.path.read_text() == "precious"


def test_overwrite_starts_anew_and_keeps_the_old_model_until_there_is_a_new_one(
        tiny_data, folder, monkeypatch, unbroken):
    interrupt(monkeypatch, small_run(tiny_data, folder, seed=1), STEPS + 1)
    old = (folder / "student.keras").read_bytes()
    (folder / "sheet.png").touch()
    run = small_run(tiny_data, folder, options=RunOptions(overwrite=True))
    interrupt(monkeypatch, run, 2)
    assert states(folder) == []
    assert not (folder / "sheet.png").exists()  # of another network
    assert (folder / "student.keras").read_bytes() == old
    fit_depth_model(run)
    assert_like(folder, unbroken)


def test_a_damaged_newest_state_costs_one_epoch(tiny_data, folder, unbroken, monkeypatch, capsys):
    run = small_run(tiny_data, folder)
    interrupt(monkeypatch, run, 2 * STEPS + 1)
    newest = folder / "student-0002.state"
    newest.write_bytes(newest.read_bytes()[:-100])
    with pytest.warns(UserWarning, match=r"student-0002.state: damaged"):
        fit_depth_model(run)
    assert "continuing after epoch 1" in capsys.readouterr().out
    assert_like(folder, unbroken)


def test_a_state_of_another_architecture_is_never_squeezed_in(tiny_data, folder, monkeypatch):
    interrupt(monkeypatch, small_run(tiny_data, folder), STEPS + 1)
    run = small_run(tiny_data, folder)
    other = type(run)(**{**vars(run), "build": lambda: small_model(8)})
    with pytest.raises(UserError, match="its state was written by another version of this program"):
        fit_depth_model(other)
    assert states(folder) == ["student-0001.state"]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_its_step(tiny_data, folder, unbroken, monkeypatch, signum):
    run = small_run(tiny_data, folder)
    before = signal.getsignal(signum)
    with monkeypatch.context() as patch, pytest.raises(
            Stopped, match=r"1 of 3 epochs are kept in .*run; the same command continues") as stop:
        at_step(patch, STEPS + 2, lambda _: os.kill(os.getpid(), signum))
        fit_depth_model(run)
    assert stop.value.signum == signum and signal.getsignal(signum) == before
    assert states(folder) == ["student-0001.state"]
    fit_depth_model(run)
    assert_like(folder, unbroken)


def poison(callback, index=-1):
    weight = callback.pairs[index][1]
    weight.assign(np.full(weight.shape, np.nan))


def test_a_loss_that_is_not_finite_stops_before_it_is_saved(tiny_data, folder, monkeypatch):
    run = small_run(tiny_data, folder, ema_momentum=0.5)
    at_step(monkeypatch, STEPS + 1, poison)
    with pytest.raises(UserError, match=r"student_loss is not finite in epoch 2, step 2, pictures "
                       r"\d{4}, \d{4}, \d{4}, \d{4}; nothing of it was saved; lower --learning"):
        fit_depth_model(run)
    assert states(folder) == ["student-0001.state"] and len(rows(folder)) == 1
    model = keras.saving.load_model(run.path, compile=False)
    assert all(np.isfinite(value).all() for value in model.get_weights())


def test_the_distillation_is_named_when_it_is_the_one(tiny_data, folder, monkeypatch):
    monkeypatch.setattr(trainer, "distiller_of", broken_distiller(trainer.distiller_of))
    run = small_run(tiny_data, folder, distillation_loss_weight=1.0, teacher=small_model())
    with pytest.raises(UserError, match="distillation_loss is not finite in epoch 1, step 1"):
        fit_depth_model(run)
    assert not states(folder) and not run.path.exists()


def broken_distiller(original):
    def build(*arguments):
        distiller = original(*arguments)
        distiller.distillation_loss = lambda target, answer: tf.reduce_mean(answer) / 0.0
        return distiller
    return build


def test_a_weight_that_is_not_finite_behind_a_finite_loss_is_never_saved(
        tiny_data, folder, monkeypatch):
    at_step(monkeypatch, STEPS, poison)  # the last step has already had its loss
    with pytest.raises(UserError, match=r"weight \S+ is not finite after epoch 1"):
        fit_depth_model(small_run(tiny_data, folder))
    assert not states(folder)


def test_rollback_halves_the_learning_rate_and_goes_on(tiny_data, folder, monkeypatch, capsys):
    run = small_run(tiny_data, folder, options=RunOptions(nan_policy="rollback"))
    at_step(monkeypatch, STEPS + 2, poison)
    fit_depth_model(run)
    assert "back to epoch 1 with the learning rate halved (1 of 3 times)" in capsys.readouterr().out
    assert [row["epoch"] for row in rows(folder)] == ["1", "2", "3"]
    assert json.loads((folder / "student.json").read_text())["halvings"] == 1


def test_rollback_gives_up_after_three_times(tiny_data, folder, capsys):
    run = small_run(
        tiny_data, folder, learning_rate=1e35, options=RunOptions(nan_policy="rollback"))
    with pytest.raises(UserError, match="already halved 3 times, lower --learning_rate"):
        fit_depth_model(run)
    assert capsys.readouterr().out.count("back to epoch 0") == 3
    assert not states(folder) and not run.path.exists()


def on_a_full_disk(write):
    """From its second call on the function can write no file of more than 500 bytes."""
    calls = []

    def call(*arguments):
        calls.append(None)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        if len(calls) > 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
        try:
            return write(*arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    return call


@pytest.mark.parametrize(("writer", "kept"), [
    ((checkpoint, "save_state"), 1), ((trainer, "save_model"), 2)], ids=["state", "model"])
def test_a_disk_that_fills_up_keeps_the_epochs_before(
        tiny_data, folder, unbroken, monkeypatch, writer, kept):
    run = small_run(tiny_data, folder)
    owner, name = writer
    monkeypatch.setattr(owner, name, on_a_full_disk(getattr(owner, name)))
    # A worse metric would leave the model as it is.
    monkeypatch.setattr(trainer, "evaluate", improving(trainer.evaluate))
    with pytest.raises(UserError, match=r"epoch 2 could not be saved .*needs \d\.\d MB: free"):
        fit_depth_model(run)
    assert states(folder) == [f"student-{epoch:04d}.state" for epoch in range(1, kept + 1)]
    keras.saving.load_model(run.path, compile=False)
    monkeypatch.undo()
    fit_depth_model(run)
    assert [row["epoch"] for row in rows(folder)] == ["1", "2", "3"]
    assert sorted(os.listdir(folder)) == sorted(os.listdir(unbroken))


def improving(evaluate):
    calls = []

    def measure(*arguments):
        calls.append(None)
        return {**evaluate(*arguments), "si_rmse": 1 / len(calls)}
    return measure


def test_missing_space_is_said_before_the_first_step(tiny_data, folder, monkeypatch):
    usage = shutil.disk_usage(folder.parent)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"0 MB free, the run's model and states need \d+ MB"):
        fit_depth_model(small_run(tiny_data, folder))
    assert os.listdir(folder) == []


@pytest.mark.slow
def test_out_of_memory_names_the_flag(tiny_data, folder, monkeypatch):
    def train_step(self, batch):
        huge = tf.cast(tf.shape(batch["image"])[0], tf.int64) * (1 << 44)
        return {"total_loss": tf.reduce_sum(tf.random.stateless_uniform([huge], [1, 2]))}

    monkeypatch.setattr(Distiller, "train_step", train_step)
    with pytest.raises(UserError, match="out of memory with --batch_size=4; lower it"):
        fit_depth_model(small_run(tiny_data, folder))


def test_a_teacher_that_training_has_changed_is_a_bug(tiny_data, folder, monkeypatch):
    teacher = small_model()
    run = small_run(tiny_data, folder, epochs=1, teacher=teacher, distillation_loss_weight=1.0)
    at_step(monkeypatch, 1, lambda _: teacher.weights[0].assign_add(
        tf.ones_like(teacher.weights[0])))
    with pytest.raises(RuntimeError, match="changed its teacher"):
        fit_depth_model(run)


def test_a_removed_model_is_noticed_at_the_end(tiny_data, folder, monkeypatch):
    run = small_run(tiny_data, folder, epochs=1)
    monkeypatch.setattr(trainer, "save_model", lambda *_: None)
    with pytest.raises(UserError, match="was removed during the run"):
        fit_depth_model(run)


def test_what_a_killed_process_left_is_swept(tiny_data, folder):
    run = small_run(tiny_data, folder, epochs=1)
    left = [".student.abc.raw.keras", ".student-0003.abc.state", ".log.abc.csv"]
    for name in (*left, ".other.abc.keras"):
        (folder / name).touch()
    fit_depth_model(run)
    assert not set(left) & set(os.listdir(folder))
    assert (folder / ".other.abc.keras").is_file()


def test_flags_are_noted_only_once_the_run_is_accepted(tiny_data, folder):
    run = small_run(tiny_data, folder, epochs=1, options=RunOptions(flags="--epochs=1\n"))
    fit_depth_model(run)
    other = small_run(tiny_data, folder, epochs=2, options=RunOptions(flags="--epochs=2\n"))
    with pytest.raises(UserError):
        fit_depth_model(other)
    assert (folder / "flags.txt").read_text() == "--epochs=1\n"


def test_tensorboard_is_used_only_where_it_is_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(callbacks.importlib.util, "find_spec", lambda _: None)
    assert callbacks.tensorboard(tmp_path) == []


def test_a_state_costs_little(tiny_data, folder, monkeypatch):
    """The bytes of a state are those of the variables, and a line of text."""
    interrupt(monkeypatch, small_run(tiny_data, folder), STEPS + 1)
    state = checkpoint.load_state(folder / "student.keras")
    size = (folder / "student-0001.state").stat().st_size
    assert size - sum(array.nbytes for array in state.arrays) < 5000


def kill_loop(data, folder, kills, seed):
    command = [sys.executable, REPOSITORY / "tests" / "kill_driver.py", data, folder, str(kills),
               str(seed)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    print(*lines, sep="\n")
    assert max(line.get("kill", 0) for line in lines) == kills
    differences = [line["differences"] for line in lines if "differences" in line]
    assert differences and not any(differences)


def test_killed_at_named_points_the_result_is_bit_identical(tiny_data, tmp_path):
    kill_loop(tiny_data, tmp_path, kills=4, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_34_times_the_result_is_bit_identical(tiny_data, tmp_path):
    kill_loop(tiny_data, tmp_path, kills=34, seed=1)
