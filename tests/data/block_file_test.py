"""Caches that were changed or cut off behind our back: no number of them is believed."""

import functools
import json
import os
import random
import shutil

import numpy as np
import pytest
import tensorflow as tf
from small_run import small_run

from mai_depth.data.batches import faults_of_reading
from mai_depth.data.batches import training_batches
from mai_depth.data.block_file import BlockFile
from mai_depth.data.block_file import append_block
from mai_depth.data.sources import open_split
from mai_depth.errors import UserError
from mai_depth.training.fit import fit_depth_model
from mai_depth.training.teacher_pool import fill_teacher_views

ARRAY = np.arange(5 * 6 * 8, dtype="<u2").reshape(5, 6, 8)


@pytest.fixture
def stored(tmp_path):
    """`ARRAY` in a file."""
    path = tmp_path / "cache" / "depth.u16"
    path.parent.mkdir()
    with open(path, "wb") as file:
        for number, block in enumerate(ARRAY):
            append_block(file, number, block)
    return path


def open_blocks(path):
    return BlockFile(path, "<u2", ARRAY.shape, discard=path.parent)


def flip(path, offset, bit=1):
    with open(path, "r+b") as file:
        file.seek(offset)
        (value,) = file.read(1)
        file.seek(offset)
        file.write(bytes([value ^ bit]))


KEYS = [0, -1, np.int64(3), slice(1, 4), slice(None, None, 2), [4, 0, 0],
        np.array([[1, 2], [3, 4]]), np.array([True, False, True, False, True]), (2, 3),
        (slice(1, 3), 2), (1, slice(2, 5), 7), ([0, 2], slice(1, 3), slice(None, None, 3)),
        (slice(None), 1, 1)]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_it_is_indexed_like_an_array(stored, key):
    blocks = open_blocks(stored)
    assert np.array_equal(blocks[key], ARRAY[key]) and blocks[key].dtype == np.uint16
    assert blocks[key].shape == ARRAY[key].shape


def test_it_is_an_array_to_numpy(stored):
    blocks = open_blocks(stored)
    assert (blocks.shape, blocks.ndim, blocks.nbytes) == (ARRAY.shape, 3, ARRAY.nbytes)
    assert len(blocks) == len(list(blocks)) == 5
    assert np.array_equal(np.array(blocks), ARRAY)
    assert np.asarray(blocks, np.float32).dtype == np.float32
    with pytest.raises(IndexError):
        blocks[5]


def test_no_flipped_bit_is_believed(stored):
    """Each of 300 random bits, in numbers and checksums: its block is refused, others are read."""
    dice, stride = random.Random(0), 6 * 8 * 2 + 4
    for _ in range(300):
        offset, bit = dice.randrange(5 * stride), 1 << dice.randrange(8)
        flip(stored, offset, bit)
        blocks = open_blocks(stored)
        for number, block in enumerate(ARRAY):
            if number == offset // stride:
                with pytest.raises(UserError, match=rf"depth.u16: block {number} is damaged \(its "
                                   rf"checksum does not match\); delete {stored.parent} and run"):
                    blocks[number]
            else:
                assert np.array_equal(blocks[number], block)
        flip(stored, offset, bit)


def test_a_block_in_the_place_of_another_is_not_believed(stored):
    content = stored.read_bytes()
    stride = len(content) // 5
    stored.write_bytes(content[stride : 2 * stride] + content[:stride] + content[2 * stride :])
    with pytest.raises(UserError, match="block 0 is damaged"):
        open_blocks(stored)[0]


def test_only_the_first_reading_costs(stored, monkeypatch):
    blocks, calls = open_blocks(stored), []
    monkeypatch.setattr("mai_depth.data.block_file.zlib.crc32", lambda *_: calls.append(1) or 0)
    with pytest.raises(UserError):
        blocks[0]
    monkeypatch.undo()
    for _ in range(3):
        assert np.array_equal(blocks[:], ARRAY)
    monkeypatch.setattr("mai_depth.data.block_file.zlib.crc32", None)
    assert np.array_equal(blocks[:], ARRAY)
    assert len(calls) == 1


def test_a_file_of_another_size_is_none_of_ours(stored):
    with open(stored, "ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match="does not have 5 blocks of 100 bytes"):
        open_blocks(stored)


# The caches that are made of such files


@pytest.fixture
def data(tiny_data, tmp_path):
    """Two splits whose cache a test may break."""
    shutil.copytree(tiny_data, tmp_path / "data", ignore=shutil.ignore_patterns("cache"))
    return tmp_path / "data"


def cached(data, split="train"):
    (folder,) = (data / "cache").glob(f"{split}-*")
    return folder


@pytest.mark.parametrize(("name", "kept"), [("rgb.u8", None), ("depth.u16", 1_000_000)])
def test_training_on_a_cache_that_was_changed_ends_in_one_line(data, tmp_path, name, kept):
    """One bit or the end of the file goes after the run has opened it; mapped, it would kill."""
    run = small_run(data, tmp_path / "run", epochs=2)
    if kept is None:
        flip(cached(data) / name, 614_000)
    else:
        os.truncate(cached(data) / name, kept)
    what = "was truncated while in use" if kept else "block 0 is damaged"
    with pytest.raises(UserError, match=rf"{name}: {what}.*; delete .*/cache/train-\w+ and run "
                       "again, it is rebuilt$") as fault:
        fit_depth_model(run)
    assert "\n" not in str(fault.value)
    assert not list((tmp_path / "run").glob("student*"))
    shutil.rmtree(cached(data))  # as the message says
    assert np.asarray(small_run(data, tmp_path / "run").train_pairs.rgb).shape[0] == 12


def test_what_is_no_fault_of_reading_stays_an_error_of_tensorflow():
    with pytest.raises(tf.errors.UnknownError, match="another matter"), faults_of_reading():
        raise tf.errors.UnknownError(None, None, "another matter")


def test_validation_pictures_that_were_changed_are_not_measured(data, tmp_path):
    run = small_run(data, tmp_path / "run", epochs=1)
    flip(cached(data, "validation") / "depth.u16", 5)
    with pytest.raises(UserError, match=r"validation-\w+/depth.u16: block 0 is damaged"):
        fit_depth_model(run)


def test_a_changed_index_is_made_anew(data):
    """One digit of the unit would make every depth wrong by a factor of ten."""
    before = open_split(data, "train", cache_dir=data / "cache")
    path = cached(data) / "index.json"
    text = path.read_text()
    for damaged in (text.replace("1000.0", "100.0"), text.replace("0003", "0004"), "[]", "{}"):
        assert damaged != text
        path.write_text(damaged)
        again = open_split(data, "train", cache_dir=data / "cache")
        assert (again.units_per_m, again.names) == (before.units_per_m, before.names)
    assert json.loads(path.read_text()) == json.loads(text)


def test_a_teachers_answers_that_were_changed_are_named(data, tmp_path):
    run = small_run(data, tmp_path / "run")
    pairs = run.train_pairs.select([0, 1, 2, 3])
    ask = functools.partial(
        fill_teacher_views, run.build(), "0123", pairs, views=1, size=(24, 32),
        augmentation=run.recipe.augmentation, seed=0, cache_dir=tmp_path)
    answers = np.asarray(ask().depth)
    (folder,) = (tmp_path / "teacher_views").iterdir()
    flip(folder / "depth.u16", 100)
    batches = training_batches(
        pairs, view_size=(48, 64), depth_size=(48, 64), batch_size=4, seed=0, first_epoch=0,
        epochs=1, augmentation=run.recipe.augmentation, teacher_views=ask())
    with pytest.raises(Exception, match=rf"UserError: {folder}.* block 0 is damaged .*{folder}"):
        list(batches)
    os.truncate(folder / "depth.u16", 1000)  # a copy that was cut off is made anew
    np.testing.assert_array_equal(ask().depth, answers)
