"""Which teachers a student has, as its run knows them: several, mirrored, by name."""

import dataclasses
import hashlib
import json

import keras
import pytest
from small_run import small_model

from mai_depth.data.augmentation import Augmentation
from mai_depth.data.sources import DataOptions
from mai_depth.errors import UserError
from mai_depth.training import runs
from mai_depth.training import teacher_pool
from mai_depth.training.job import Student
from mai_depth.training.job import Teacher
from mai_depth.training.job import TrainingJob
from mai_depth.training.run import Recipe


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    paths = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        paths.append(tmp_path_factory.mktemp("teachers") / f"{seed}.keras")
        small_model().save(paths[-1])
    return tuple(paths)


def job(tiny_data, folder, paths, **teacher):
    recipe = Recipe(
        epochs=1, batch_size=4, distillation_loss_weight=1.0, distill="depth",
        augmentation=Augmentation(min_crop=0.7))
    return TrainingJob(
        folder / "student", DataOptions((str(tiny_data),), str(folder.parent / "cache")),
        Student("student_28m", alpha=0.35, decoder_filters=(8, 8, 8, 8)),
        Teacher(paths=paths, views=2, **teacher), recipe, 10.0)


@pytest.mark.slow
def test_a_student_of_two_teachers(tiny_data, tmp_path, teachers, capsys, monkeypatch):
    asked = job(tiny_data, tmp_path, teachers, mirror=True)
    asked.workdir.mkdir()
    runs.train(asked)
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[-4:-1]] == [
        "constant", "teacher", "student"]
    record = json.loads((asked.workdir / "student.json").read_text())
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in teachers]
    assert record["teacher"] == ",".join(digests)
    assert record["mirror_teacher"] is True and record["teacher_views"] == 1  # as many as epochs
    monkeypatch.setattr(teacher_pool, "_fill", None)
    runs.train(asked)  # nothing is asked again
    assert "already trained" in capsys.readouterr().out
    for other in (job(tiny_data, tmp_path, teachers[:1], mirror=True),
                  job(tiny_data, tmp_path, teachers)):
        with pytest.raises(UserError, match=r"another run .*teacher"):
            runs.train(other)


def test_a_teacher_that_is_there_is_not_trained(tiny_data, tmp_path, teachers):
    before = teachers[0].read_bytes()
    with pytest.raises(UserError, match=r"--train=teacher makes a new one.*leave --teacher out"):
        runs.train_teacher(job(tiny_data, tmp_path, teachers[:1]))
    assert teachers[0].read_bytes() == before and len(list(tmp_path.iterdir())) == 0


@pytest.mark.parametrize(("settings", "views"), [
    ({}, 2), ({"distill": "features"}, 0), ({"augmentation": Augmentation(flip=False)}, 1),
    ({"epochs": 1}, 1)])
def test_how_often_the_teacher_is_asked(tiny_data, tmp_path, settings, views):
    asked = job(tiny_data, tmp_path, ())
    recipe = dataclasses.replace(asked.recipe, **{"epochs": 9, **settings})
    assert dataclasses.replace(asked, recipe=recipe).teacher_views == views
    at_every_step = dataclasses.replace(asked.teacher, cache=False)
    assert dataclasses.replace(asked, teacher=at_every_step).teacher_views == 0
