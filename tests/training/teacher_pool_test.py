"""Views of pictures: how they are drawn, what a teacher says of each, and who finds it again."""

import csv
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import REPOSITORY
from small_run import small_model
from small_run import small_run

from mai_depth.data.augment import views_of
from mai_depth.data.augmentation import Augmentation
from mai_depth.data.batches import training_batches
from mai_depth.data.block_file import append_block
from mai_depth.data.mixture import Part
from mai_depth.data.mixture import mix
from mai_depth.data.sources import open_split
from mai_depth.data.teacher_views import count_views
from mai_depth.data.teacher_views import draw_crops
from mai_depth.errors import UserError
from mai_depth.training import attempt
from mai_depth.training import teacher_pool
from mai_depth.training.distiller import training_view
from mai_depth.training.fit import fit_depth_model
from mai_depth.training.teacher_pool import fill_teacher_views

SIZE = (24, 32)
CROPS = Augmentation(min_crop=0.5)


@pytest.fixture(scope="module")
def pairs(tiny_data, tmp_path_factory):
    return open_split(str(tiny_data), "train", cache_dir=str(tmp_path_factory.mktemp("cache")))


def fill(teacher, pairs, cache_dir, **settings):
    settings = {"views": 3, "size": SIZE, "augmentation": CROPS, "seed": 5, **settings}
    return fill_teacher_views(teacher, "0123", pairs, cache_dir=cache_dir, **settings)


def red(asked=None):
    """A teacher of arithmetic: metres = 0.5 + red / 50."""
    def predict_on_batch(images):
        if asked is not None:
            asked.append(len(images))
        return 0.5 + images[..., :1] / 50

    return types.SimpleNamespace(predict_on_batch=predict_on_batch)


def test_crops_golden():
    """Two numbers of RandomState([7, 1]) for the corner and one for the side."""
    crops = draw_crops(2, 2, Augmentation(min_crop=0.6), 7)
    top, left, side = np.random.RandomState([7, 1]).uniform(size=(2, 3))[1]
    fraction = 1 - 0.4 * side
    np.testing.assert_allclose(
        crops[1, 1], [top * (1 - fraction), left * (1 - fraction), fraction, 1, 0], rtol=1e-6)


def test_crops_lie_in_the_picture_and_every_second_is_mirrored():
    crops = draw_crops(200, 8, CROPS, 0)
    top, left, fraction, flip, roll = np.moveaxis(crops, -1, 0)
    assert not roll.any()
    assert fraction.min() >= 0.5 and fraction.max() <= 1 and np.ptp(fraction) > 0.49
    for corner in (top, left):
        assert corner.min() >= 0 and (corner + fraction).max() <= 1 + 1e-6
    assert (flip == np.arange(8) % 2).all()
    assert not draw_crops(2, 8, Augmentation(flip=False, min_crop=0.5), 0)[..., 3].any()


def test_views_of_a_rolled_camera_are_else_the_same():
    level, rolled = (draw_crops(50, 8, dataclasses.replace(CROPS, max_roll_deg=roll), 0)
                     for roll in (0, 10))
    np.testing.assert_array_equal(level[..., :4], rolled[..., :4])
    degrees = np.degrees(rolled[..., 4])
    assert 9.5 < degrees.max() <= 10 and -10 <= degrees.min() < -9.5


def test_a_view_depends_on_seed_picture_and_number_alone():
    crops = draw_crops(4, 8, CROPS, 1)
    np.testing.assert_array_equal(draw_crops(2, 3, CROPS, 1), crops[:2, :3])
    assert not np.array_equal(draw_crops(4, 8, CROPS, 2)[..., 2], crops[..., 2])


@pytest.mark.parametrize(("augmentation", "count"), [
    (Augmentation(min_crop=0.9), 8), (Augmentation(), 2), (Augmentation(flip=False), 1)])
def test_without_crops_there_are_but_two_views(augmentation, count):
    assert count_views(8, augmentation) == count
    assert count_views(1, augmentation) == 1


def test_the_answer_is_that_of_the_teacher_to_the_view(pairs, tmp_path):
    """Within the resolution of the map and of a millimetre, also through its layer `view`."""
    keras.utils.set_random_seed(0)
    teacher = small_model()
    views = fill(teacher, pairs, tmp_path)
    whole = views_of(
        tf.constant(pairs.rgb[7][None].repeat(3, 0)), tf.constant(views.crops[7]), CROPS,
        (480, 640))
    depth = teacher.predict_on_batch(whole.numpy())
    expected = tf.image.resize(depth, SIZE).numpy()[..., 0]
    found = views.depth[21:24] / pairs.units_per_m
    np.testing.assert_allclose(found, expected, atol=0.0006)
    view = training_view(teacher)
    direct = view(views_of(
        tf.constant(pairs.rgb[7][None].repeat(3, 0)), tf.constant(views.crops[7]), CROPS, (48, 64)))
    np.testing.assert_allclose(found, direct["depth"][..., 0], rtol=0.02)


def test_a_part_is_not_a_part_of_the_whole_answer(pairs, tmp_path):
    """A teacher that answers by place says of every view the same, wherever it was cut out."""
    place = np.linspace(1, 4, 640)[None, None, :, None]
    teacher = types.SimpleNamespace(predict_on_batch=lambda batch: 0 * batch[..., :1] + place)
    views = fill(teacher, pairs, tmp_path)
    assert np.ptp(np.asarray(views.depth), axis=0).max() <= 1


def batches(pairs, views, **settings):
    settings = {"view_size": (48, 64), "depth_size": SIZE, "batch_size": 4, "seed": 5,
                "first_epoch": 0, "epochs": 3, "augmentation": CROPS, **settings}
    return list(training_batches(pairs, teacher_views=views, **settings).as_numpy_iterator())


def gray(augmentation):
    """Without changes of colour, so that the picture tells what the teacher has seen."""
    return dataclasses.replace(augmentation, brightness=0, gamma=0, color=0)


def test_a_batch_holds_picture_truth_and_answer_of_one_view(pairs, tmp_path):
    smooth = dataclasses.replace(pairs, rgb=ramps(len(pairs)), depth=ramp_depth(len(pairs)))
    views = fill(red(), smooth, tmp_path)
    for batch in batches(smooth, views, augmentation=gray(CROPS), view_size=SIZE):
        answer = batch["teacher_depth"][..., 0]
        np.testing.assert_allclose(0.5 + batch["image"][..., 0] / 50, answer, atol=0.02)
        # The truth rises with red as well, and a longer lens brings it nearer.
        fraction = batch["depth"][..., 0] / (1 + batch["image"][..., 0] / 50)
        assert np.ptp(fraction, axis=(1, 2)).max() < 0.03
        assert fraction.min() > 0.48 and fraction.max() < 1.02


def ramps(count):
    rgb = np.zeros((count, 480, 640, 3), np.uint8)
    rgb[..., 0] = np.linspace(0, 255, 640)
    return rgb


def ramp_depth(count):
    return np.broadcast_to(
        np.rint(1000 + 20 * np.linspace(0, 255, 640)).astype(np.uint16), (count, 480, 640))


def test_every_view_is_shown_and_an_epoch_can_be_repeated(pairs, tmp_path):
    views = fill(red(), pairs, tmp_path)
    marked = dataclasses.replace(
        views, depth=np.arange(36, dtype="<u2").repeat(24 * 32).reshape(36, *SIZE) + 1)
    whole = batches(pairs, marked, epochs=6)
    shown = [int(value) for batch in whole for value in
             np.rint(batch["teacher_depth"].max(axis=(1, 2, 3)) * 1000)]
    for three in (shown[:36], shown[36:]):  # epochs, in which each picture shows its three views
        assert sorted(three) == list(range(1, 37))
    assert len({(number - 1) % 3 for number in shown[:12]}) > 1  # not all begin with the same
    for first in (1, 5):
        for one, other in zip(
                batches(pairs, marked, first_epoch=first, epochs=6), whole[3 * first:],
                strict=True):
            for name in one:
                np.testing.assert_array_equal(one[name], other[name])


def weights(run):
    return keras.saving.load_model(run.path, compile=False).get_weights()


def test_a_mixture_has_views_as_well(pairs, tmp_path):
    both = mix([Part("a", pairs), Part("b", pairs.select([1, 3, 5]), 0.5)])
    views = fill(red(), both, tmp_path)
    assert views.crops.shape == (15, 3, 5) and views.depth.shape == (45, *SIZE)
    made = batches(both, views, augmentation=gray(CROPS))
    assert {batch["teacher_depth"].shape for batch in made} == {(4, *SIZE, 1)}
    assert {int(label) for batch in made for label in batch["labels"]} == {0}


def test_the_pool_is_found_again_by_all_that_it_depends_on(pairs, tmp_path):
    asked = []
    first = np.asarray(fill(red(asked), pairs, tmp_path).depth)
    assert asked == [8] * 5  # 36 views
    again = fill(red(asked), pairs, tmp_path, augmentation=gray(CROPS))
    np.testing.assert_array_equal(again.depth, first)
    assert len(asked) == 5
    for settings in ({"seed": 6}, {"views": 2}, {"size": (12, 16)},
                     {"augmentation": Augmentation(min_crop=0.6)},
                     {"augmentation": Augmentation(min_crop=0.5, flip=False)}):
        before = len(asked)
        fill(red(asked), pairs, tmp_path, **settings)
        assert len(asked) > before, settings
    before = len(asked)
    fill(red(asked), pairs.select([0, 1]), tmp_path)
    fill_teacher_views(red(asked), "4567", pairs, views=3, size=SIZE, augmentation=CROPS, seed=5,
                       cache_dir=tmp_path)
    assert len(asked) == before + 1 + 5


class Killed(BaseException):
    """Ends a filling as SIGKILL does: with half a block on the disk and nothing tidied up."""


@pytest.mark.parametrize("killed_at", [3, 8, 29, 35])
def test_a_killed_filling_goes_on_where_it_was(pairs, tmp_path, monkeypatch, killed_at):
    def part_of_a_block(file, number, block):
        if number == killed_at:
            file.write(block.data[: len(block) // 2])
            file.flush()
            raise Killed
        append_block(file, number, block)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(teacher_pool, "append_block", part_of_a_block)
        fill(red(), pairs, tmp_path / "killed")
    asked = []
    found = fill(red(asked), pairs, tmp_path / "killed")
    assert len(asked) == 5 - killed_at // 8
    np.testing.assert_array_equal(found.depth, fill(red(), pairs, tmp_path / "whole").depth)
    (folder,) = (tmp_path / "killed" / "teacher_views").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "depth.u16"]


KILLED = """
import os, signal, sys, types
from mai_depth.data.augmentation import Augmentation
from mai_depth.data.sources import open_split
from mai_depth.training.teacher_pool import fill_teacher_views

calls = []

def answer(images):
    calls.append(1)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return 0.5 + images[..., :1] / 50

data, cache = sys.argv[1:]
fill_teacher_views(
    types.SimpleNamespace(predict_on_batch=answer), "0123",
    open_split(data, "train", cache_dir=cache), views=3, size=(24, 32),
    augmentation=Augmentation(min_crop=0.5), seed=5, cache_dir=cache)
"""


def test_sigkill_loses_what_is_not_whole(tiny_data, pairs, tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, tiny_data, tmp_path], check=False)
    assert done.returncode == -signal.SIGKILL
    asked = []
    found = fill(red(asked), pairs, tmp_path)
    assert len(asked) in (2, 3)  # what stood in the buffer is lost, and what is not a whole batch
    np.testing.assert_array_equal(found.depth, fill(red(), pairs, tmp_path / "whole").depth)


def test_a_part_that_was_damaged_is_asked_again(pairs, tmp_path):
    expected = np.asarray(fill(red(), pairs, tmp_path).depth)
    (folder,) = (tmp_path / "teacher_views").iterdir()
    content = bytearray((folder / "depth.u16").read_bytes())
    content[20 * (2 * 24 * 32 + 4) + 100] ^= 1  # in the 21st view
    (folder / "depth.u16").unlink()
    (folder / "part.u16").write_bytes(content)
    asked = []
    np.testing.assert_array_equal(fill(red(asked), pairs, tmp_path).depth, expected)
    assert len(asked) == 3


def test_a_damaged_answer_is_named(pairs, tmp_path):
    fill(red(), pairs, tmp_path)
    (folder,) = (tmp_path / "teacher_views").iterdir()
    content = bytearray((folder / "depth.u16").read_bytes())
    content[100] ^= 1
    (folder / "depth.u16").write_bytes(content)
    with pytest.raises(UserError, match=f"block 0 is damaged .*; delete {folder} and run again"):
        fill(red(), pairs, tmp_path).depth[0]


def test_an_answer_that_is_not_finite_names_the_picture(pairs, tmp_path):
    def answer(images):
        depth = 1 + 0 * images[..., :1]
        depth[2] = np.nan
        return depth

    broken = types.SimpleNamespace(predict_on_batch=answer)
    with pytest.raises(UserError, match=rf"^--teacher: its answer to {pairs.names[0]} is not fin"):
        fill(broken, pairs, tmp_path)


def test_a_full_disk_is_told_before_the_teacher_is_asked(pairs, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    asked = []
    with pytest.raises(UserError, match=r"the teacher's answers need 0 MB; .*--cache_dir"):
        fill(red(asked), pairs, tmp_path)
    assert not asked


# In a process of its own: only one that begins deterministically repeats itself to the bit.
RESUME = """
import pathlib, sys
from mai_depth.environment import compute_deterministically
compute_deterministically()
sys.path[:0] = sys.argv[4:]
from teacher_pool_test import resume
resume(*map(pathlib.Path, sys.argv[1:3]), sys.argv[3])
"""


@pytest.mark.parametrize("distill", [
    "logits", pytest.param("depth", marks=pytest.mark.slow)])
def test_a_resumed_run_is_bit_identical(tiny_data, tmp_path, distill):
    tests = REPOSITORY / "tests"
    command = [
        sys.executable, "-c", RESUME, tiny_data, tmp_path, distill, tests / "training", tests]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "cut/log.csv").read_text() == (tmp_path / "unbroken/log.csv").read_text()
    losses = [float(row["distillation_loss"]) for row in csv.DictReader(
        (tmp_path / "cut/log.csv").open())]
    assert min(losses) > 0


def resume(tiny_data, tmp_path, distill):
    """Trains unbroken, and killed in the second epoch and resumed; the weights are the same."""
    def run(name):
        planned = small_run(
            tiny_data, tmp_path / name, epochs=3, distill=distill, distillation_loss_weight=1.0)
        recipe = planned.recipe
        views = fill(red(), planned.train_pairs, tmp_path, augmentation=recipe.augmentation,
                     seed=recipe.seed)
        return dataclasses.replace(planned, teacher_views=views)

    def measure(run):
        if len(calls) == 1:
            raise Killed
        calls.append(1)
        return original(run)

    calls, original = [], attempt.Attempt._measure
    unbroken = run("unbroken")
    fit_depth_model(unbroken)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(attempt.Attempt, "_measure", measure)
        fit_depth_model(run("cut"))
    resumed = run("cut")
    fit_depth_model(resumed)
    for one, other in zip(weights(unbroken), weights(resumed), strict=True):
        np.testing.assert_array_equal(one, other)
