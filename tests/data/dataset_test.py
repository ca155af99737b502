"""From folders to batches: what is read, what is refused, and that nothing depends on history."""

import concurrent.futures
import os
import shutil
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
from PIL import Image

from mai_depth.data import cache
from mai_depth.data.augmentation import OFF
from mai_depth.data.augmentation import Augmentation
from mai_depth.data.batches import epoch_order
from mai_depth.data.batches import training_batches
from mai_depth.data.pairs import describe
from mai_depth.data.pairs import split_pairs
from mai_depth.data.sources import open_split
from mai_depth.depth import read_depth_units
from mai_depth.errors import UserError

VIEW = (128, 160)
DEPTH = (64, 80)


@pytest.fixture(scope="module")
def pairs(tiny_data, tmp_path_factory):
    return open_split(tiny_data, "train", cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def data(tiny_data, tmp_path):
    """A copy of six pairs that a test may break."""
    shutil.copytree(tiny_data / "validation", tmp_path / "data" / "train")
    return tmp_path / "data"


def open_train(data, **options):
    return open_split(data, "train", cache_dir=data.parent / "cache", **options)


def batches(pairs, **options):
    options = {
        "view_size": VIEW, "depth_size": DEPTH, "batch_size": 4, "seed": 1, "first_epoch": 0,
        "epochs": 1, "augmentation": Augmentation(min_crop=0.7), **options,
    }
    return [
        {key: value.numpy() for key, value in batch.items()}
        for batch in training_batches(pairs, **options)
    ]


# Reading


def test_pairs_hold_what_the_files_hold(tiny_data, pairs):
    assert len(pairs) == 12 and pairs.names[0] == "0000" and pairs.excluded == ()
    assert pairs.rgb.shape == (12, 480, 640, 3) and pairs.rgb.dtype == np.uint8
    assert pairs.depth.shape == (12, 480, 640) and pairs.depth.dtype == np.uint16
    for index, name in enumerate(pairs.names):
        with Image.open(tiny_data / "train" / "rgb" / f"{name}.png") as image:
            assert np.array_equal(pairs.rgb[index], np.asarray(image))
        units = read_depth_units(tiny_data / "train" / "depth" / f"{name}.png")
        assert np.array_equal(pairs.depth[index], units)
        assert np.array_equal(pairs.depth_m(index), units.astype(np.float32) / np.float32(1000))


def test_the_second_opening_decodes_nothing(data, monkeypatch):
    first = open_train(data)

    def refuse(*_, **__):
        raise AssertionError("a picture was opened")

    monkeypatch.setattr(Image, "open", refuse)
    second = open_train(data)
    assert second.names == first.names and second.fingerprint == first.fingerprint
    assert np.array_equal(second.rgb, first.rgb) and np.array_equal(second.depth, first.depth)


def test_a_changed_file_is_read_again(data):
    first = open_train(data)
    depth = np.full((480, 640), 1234, np.uint16)
    Image.fromarray(depth).save(data / "train" / "depth" / "0003.png")
    second = open_train(data)
    assert np.array_equal(second.depth[3], depth)
    assert second.fingerprint != first.fingerprint


def test_a_copied_folder_has_the_same_fingerprint_and_another_unit_has_not(data, tmp_path):
    first = open_train(data)
    shutil.copytree(data, tmp_path / "copy", copy_function=shutil.copyfile)
    assert open_train(tmp_path / "copy").fingerprint == first.fingerprint
    assert open_train(data, depth_units_per_m=500).fingerprint != first.fingerprint


def test_a_damaged_cache_is_written_again(data):
    first = open_train(data)
    (written,) = (data.parent / "cache").iterdir()
    rgb = np.array(first.rgb)
    del first
    (written / "rgb.u8").write_bytes(b"short")
    assert np.array_equal(open_train(data).rgb, rgb)


def test_several_may_open_the_same_data_at_once(data):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: open_train(data), range(4)))
    assert len({one.fingerprint for one in opened}) == 1
    for one in opened:
        assert np.array_equal(one.rgb, opened[0].rgb)
    assert len(os.listdir(data.parent / "cache")) == 1


WRITER = """
import pathlib, sys
import numpy as np
from mai_depth.data.cache import Sample, write_cache
def samples():
    picture, depth = np.zeros((480, 640, 3), np.uint8), np.full((480, 640), 1000, np.uint16)
    yield Sample("0", picture, depth, b"0")
    print("ready", flush=True)
    sys.stdin.read()
write_cache(pathlib.Path(sys.argv[1]) / "other", samples(), 2, 1000.0)
"""


def test_what_a_killed_process_left_is_removed_and_what_is_being_written_is_not(data):
    cache_dir = data.parent / "cache"
    with subprocess.Popen([sys.executable, "-c", WRITER, cache_dir], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == "ready\n"
        (half,) = os.listdir(cache_dir)
        open_train(data)
        assert len(os.listdir(cache_dir)) == 2 and half in os.listdir(cache_dir)
        writer.kill()
    open_train(data, depth_units_per_m=500.0)
    assert len(os.listdir(cache_dir)) == 2 and half not in os.listdir(cache_dir)


def test_a_mended_pair_comes_back(tmp_path):
    whole = [cache.Sample(str(index), np.zeros((480, 640, 3), np.uint8),
                          np.full((480, 640), 1000, np.uint16), bytes([index]))
             for index in range(3)]
    damaged = [whole[0], UserError("1: may not be read"), whole[2]]
    first = cache.write_cache(tmp_path / "train", damaged, 3, 1000.0)
    second = cache.write_cache(tmp_path / "train", whole, 3, 1000.0)
    assert (first.names, second.names) == (("0", "2"), ("0", "1", "2"))


@pytest.mark.parametrize("units", [0, -1, float("nan"), float("inf")])
def test_an_impossible_unit_is_refused(data, units):
    with pytest.raises(UserError, match="--depth_units_per_m"):
        open_train(data, depth_units_per_m=units)


def test_a_cache_folder_that_cannot_be_written_is_named(data, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--cache_dir=.*file"):
        open_split(data, "train", cache_dir=tmp_path / "file")


def test_a_full_disk_is_said_before_decoding(data, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=1_000_000))
    with pytest.raises(UserError, match=r"1 MB free, the decoded pictures need 9 MB.*--cache_dir"):
        open_train(data)
    assert os.listdir(data.parent / "cache") == []


def test_a_home_folder_and_strange_names_work(data, monkeypatch):
    (data / "train").rename(data / "träin set")
    for kind in ("rgb", "depth"):
        (data / "träin set" / kind / "0001.png").rename(data / "träin set" / kind / "ü b\n.1.png")
    monkeypatch.setenv("HOME", str(data.parent))
    pairs = open_split("~/data", "träin set", cache_dir="~/cache")
    assert len(pairs) == 6 and "ü b\n.1" in pairs.names
    assert (data.parent / "cache").is_dir()


# Choosing


def test_select_keeps_the_order_asked_for_and_composes(pairs):
    chosen = pairs.select([5, 2, 9])
    assert chosen.names == ("0005", "0002", "0009") and len(chosen) == 3
    assert np.array_equal(chosen.rgb[1], pairs.rgb[2])
    assert np.array_equal(chosen.depth[[0, 2]], pairs.depth[[5, 9]])
    assert np.array_equal(chosen.depth[0, 45:471, 41:601], pairs.depth[5, 45:471, 41:601])
    assert np.array_equal(chosen.depth_m(2), pairs.depth_m(9))
    again = chosen.select([2, 0])
    assert again.names == ("0009", "0005") and np.array_equal(again.rgb, pairs.rgb[[9, 5]])
    assert len({pairs.fingerprint, chosen.fingerprint, again.fingerprint}) == 3
    assert chosen.fingerprint == pairs.select([5, 2, 9]).fingerprint


def test_split_pairs_is_disjoint_complete_and_the_same_every_time(pairs):
    train, validation = split_pairs(pairs, 3, seed=0)
    # Pinned: the split of a published result must not move with a new version of anything.
    assert validation.names == ("0004", "0006", "0011")
    assert sorted(train.names + validation.names) == list(pairs.names)
    assert split_pairs(pairs, 3, seed=1)[1].names != validation.names
    for count in (0, 12, -1):
        with pytest.raises(UserError, match="--validation_count"):
            split_pairs(pairs, count, seed=0)


def test_describe_gives_percentiles_and_warns_of_a_wrong_unit(data):
    for path in (data / "train" / "depth").iterdir():
        depth = np.full((480, 640), 2000, np.uint16)
        depth[:120] = 0
        Image.fromarray(depth).save(path)
    line = describe(open_train(data))
    assert line == "6 pairs, depth 2.00 / 2.00 / 2.00 m (percentiles 5, 50, 95), 25.0 % missing"
    wrong = describe(open_train(data, depth_units_per_m=1.0))
    assert wrong.startswith("6 pairs, depth 2000.00") and "--depth_units_per_m=1 right?" in wrong


# Batches


def test_epoch_order_is_a_permutation_that_depends_on_seed_and_epoch_alone():
    first = np.asarray(epoch_order(50, seed=3, epoch=7))
    assert sorted(first) == list(range(50))
    assert np.array_equal(first, epoch_order(50, seed=3, epoch=7))
    assert not np.array_equal(first, epoch_order(50, seed=3, epoch=8))
    assert not np.array_equal(first, epoch_order(50, seed=4, epoch=7))


def test_batches_without_augmentation_are_the_files_in_epoch_order(pairs):
    made = batches(pairs, augmentation=OFF, epochs=2, batch_size=5)
    assert len(made) == 4  # 12 // 5 in each of two epochs
    resize = keras.layers.Resizing(*VIEW, interpolation="bilinear")
    rows = np.floor((np.arange(64) + 0.5) * 7.5).astype(int)
    for epoch in range(2):
        order = np.asarray(epoch_order(12, 1, epoch))
        for step, batch in enumerate(made[2 * epoch : 2 * epoch + 2]):
            index = order[5 * step : 5 * step + 5]
            expected = resize(pairs.rgb[index].astype(np.float32))
            assert np.abs(batch["image"] - expected).max() < 0.03
            metres = np.stack([pairs.depth_m(i) for i in index])[:, rows][:, :, 3::8]
            assert np.array_equal(batch["depth"][..., 0], metres)


def test_batches_have_static_shapes_and_a_known_count(pairs):
    made = training_batches(
        pairs, view_size=VIEW, depth_size=DEPTH, batch_size=4, seed=0, first_epoch=1, epochs=4,
        augmentation=Augmentation())
    assert made.cardinality() == 9
    assert made.element_spec["image"].shape == (4, *VIEW, 3)
    assert made.element_spec["depth"].shape == (4, *DEPTH, 1)
    assert {spec.dtype.name for spec in made.element_spec.values()} == {"float32"}


def test_a_run_that_starts_later_sees_what_an_unbroken_one_sees(pairs):
    whole = batches(pairs, epochs=3)
    resumed = batches(pairs, first_epoch=2, epochs=3)
    assert len(whole) == 9 and len(resumed) == 3
    for expected, batch in zip(whole[6:], resumed, strict=True):
        assert np.array_equal(batch["image"], expected["image"])
        assert np.array_equal(batch["depth"], expected["depth"])
    assert np.abs(whole[0]["image"] - whole[3]["image"]).mean() > 1


def test_a_sample_is_augmented_alike_in_any_batch(pairs):
    small, large = batches(pairs, batch_size=3), batches(pairs, batch_size=6)
    for key, tolerance in (("image", 1e-3), ("depth", 1e-6)):
        one = np.concatenate([batch[key] for batch in small])
        other = np.concatenate([batch[key] for batch in large])
        assert np.abs(one - other).max() < tolerance


def test_a_teacher_sees_the_same_augmented_picture_at_its_own_size(pairs):
    for batch in batches(pairs, teacher_view_size=(96, 160)):
        assert batch["teacher_image"].shape[1:] == (96, 160, 3)
    size = tuple(batch["image"].shape[1:3])
    for batch in batches(pairs, teacher_view_size=size):
        np.testing.assert_array_equal(batch["teacher_image"], batch["image"])


def test_missing_depth_stays_missing_and_far_depth_stays_far(data):
    depth = np.full((480, 640), 60000, np.uint16)
    depth[:240] = 0
    for path in (data / "train" / "depth").iterdir():
        Image.fromarray(depth).save(path)
    (batch,) = batches(open_train(data), batch_size=6, augmentation=Augmentation(min_crop=1.0))
    assert np.all(batch["depth"][:, :32] == 0) and np.all(batch["depth"][:, 32:] == 60)


@pytest.mark.parametrize("size", [13, 0, -1])
def test_a_batch_that_cannot_be_filled_is_refused(pairs, size):
    with pytest.raises(UserError, match=f"--batch_size={size}: there are 12"):
        batches(pairs, batch_size=size)


# Real pictures


def test_the_real_data_are_read(shared, tmp_path):
    pairs = open_split(shared / "data" / "nyuv2", "validation", cache_dir=tmp_path)
    assert len(pairs) == 80
    assert pairs.depth_m(0).min() >= 0.7 and pairs.depth_m(0).max() <= 10.01
    assert sum(array.nbytes for array in (pairs.rgb, pairs.depth)) == cache.BYTES_PER_PAIR * 80
