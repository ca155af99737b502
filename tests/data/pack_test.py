"""Packing: the packed folder is the folder, whatever kills the packing or damages its files."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY
from large_pack import large  # noqa: F401  a fixture
from PIL import Image

from mai_depth.data import folder
from mai_depth.data import sources
from mai_depth.data.description import read_description
from mai_depth.data.mixture import Mixture
from mai_depth.data.pack import packing
from mai_depth.data.pack.manifest import read_manifest
from mai_depth.data.pack.packing import Options
from mai_depth.data.pack.packing import pack
from mai_depth.data.pack.record import Record
from mai_depth.data.pack.record import decode
from mai_depth.data.pack.record import encode
from mai_depth.data.pack.shard import file_of
from mai_depth.data.pairs import count_same_pictures
from mai_depth.data.pairs import split_pairs
from mai_depth.data.sources import DataOptions
from mai_depth.data.sources import open_data
from mai_depth.data.sources import open_others
from mai_depth.data.sources import open_split
from mai_depth.errors import UserError

pytest.importorskip("array_record", reason="needs pip install 'mai_depth[scale]'")


@pytest.fixture(scope="module")
def packed(tiny_data, tmp_path_factory):
    """The tiny data in shards of some pairs; nobody changes it."""
    output = tmp_path_factory.mktemp("packed") / "packed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "SHARD_BYTES", 2_000_000)
        pack(tiny_data, output, Options(), workers=1)
    return output


@pytest.fixture
def copy(packed, tmp_path):
    """A copy that a test may break."""
    return shutil.copytree(packed, tmp_path / "copy")


def open_both(tiny_data, packed, cache, split="train"):
    return [open_split(str(data), split, cache_dir=str(cache)) for data in (tiny_data, packed)]


def test_a_record_by_hand():
    record = Record("a.jpg", "b.png", b"12", b"345")
    data = b"\x05\0\x05\0\x02\0\0\0a.jpgb.png12345"
    assert encode(record) == data and decode(data) == record
    for broken in (b"", data[:7], data[:-3]):
        with pytest.raises(ValueError, match="not a record of a pair"):
            decode(broken)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_pairs_are_those_of_the_folder(tiny_data, packed, tmp_path, split):
    plain, pairs = open_both(tiny_data, packed, tmp_path, split)
    assert tuple(pairs.names) == plain.names and pairs.fingerprint == plain.fingerprint
    assert pairs.units_per_m == plain.units_per_m and len(pairs) == len(plain)
    assert len(read_manifest(packed).splits[split].shards) > 1
    np.testing.assert_array_equal(pairs.rgb[:], plain.rgb[:])
    np.testing.assert_array_equal(pairs.depth[:], plain.depth[:])
    for key in (3, -1, [4, 1], np.array([[0, 5], [2, 2]]), slice(5, 1, -2),
                (1, slice(None, None, 32)), ([2, 0], slice(3), 7)):
        np.testing.assert_array_equal(pairs.rgb[key], plain.rgb[key], strict=True)
    chosen = pairs.select([3, 1])
    assert chosen.names[0] == plain.names[3] and chosen.names[-1:] == (plain.names[1],)
    np.testing.assert_array_equal(chosen.depth[1], plain.depth[1])
    assert chosen.fingerprint == plain.select([3, 1]).fingerprint


def test_the_files_are_there_byte_by_byte(tiny_data, packed):
    listed, plain = (folder.list_pairs(data / "train") for data in (packed, tiny_data))
    for pair, other in zip(listed, plain, strict=True):
        assert pair.name == other.name
        for one, file in ((pair.rgb, other.rgb), (pair.depth, other.depth)):
            assert one.path.read_bytes() == file.path.read_bytes()
            assert file_of(str(one.path)).read_bytes() == file.path.read_bytes()
    assert file_of("a/b.png") == pathlib.Path("a/b.png")


def test_a_split_and_a_mixture_of_packed_folders(tiny_data, packed, tmp_path):
    plain, pairs = open_both(tiny_data, packed, tmp_path)
    for one, other in zip(split_pairs(pairs, 4, 0), split_pairs(plain, 4, 0), strict=True):
        assert tuple(one.names) == other.names and one.fingerprint == other.fingerprint
    names = str(packed), str(tiny_data)
    for data_dir in (names, names[::-1]):
        options = DataOptions((data_dir[0], f"{data_dir[1]}:0.5"), str(tmp_path))
        train, validation = open_data(options)
        assert isinstance(train, Mixture) and len(validation) == 6 and train.counts == (6, 6)
        assert train.names[13] == f"{data_dir[1]}: 0001" and len(train.names) == 24
        np.testing.assert_array_equal(train.rgb[[1, 13]], plain.rgb[[1, 1]])
        assert count_same_pictures(train, pairs.select([2, 7])) == 2
        assert count_same_pictures(train, validation) == 0
        assert len(open_others(options)[data_dir[1]]) == 6


def test_a_small_one_is_decoded_once(tiny_data, packed, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "CACHED_PAIRS", 12)
    plain, pairs = open_both(tiny_data, packed, tmp_path / "cache")
    assert pairs.names == plain.names and pairs.fingerprint == plain.fingerprint
    np.testing.assert_array_equal(pairs.depth[:], plain.depth[:])
    assert len(list((tmp_path / "cache").iterdir())) == 2
    monkeypatch.setattr("mai_depth.data.pack.shard.read_record", None)
    again = open_split(str(packed), "train", cache_dir=str(tmp_path / "cache"))
    np.testing.assert_array_equal(again.rgb[:], plain.rgb[:])


def test_opening_reads_no_picture(copy, monkeypatch, tmp_path):
    monkeypatch.setattr("mai_depth.data.pack.shard.read_record", None)
    train = open_split(str(copy), "train", cache_dir=str(tmp_path / "none"))
    validation = open_split(str(copy), "validation", cache_dir=str(tmp_path / "none"))
    assert count_same_pictures(train, validation) == 0
    assert train.names[11] == "0011" and not (tmp_path / "none").exists()


def test_what_a_folder_says_of_itself_goes_with_it(tiny_data, tmp_path):
    data = shutil.copytree(tiny_data, tmp_path / "data")
    (data / "dataset.json").write_text(json.dumps(
        {"unit": "mm", "focal_length": 0.9, "license": "CC0"}))
    pack(data, tmp_path / "packed", Options(depth_units_per_m=5000.0), workers=1)
    assert read_description(tmp_path / "packed") == read_description(data)
    assert open_split(str(tmp_path / "packed"), "train", cache_dir="").units_per_m == 1000


def test_the_unit_and_the_missing_code_are_kept(tiny_data, tmp_path):
    data = shutil.copytree(tiny_data / "validation", tmp_path / "data" / "train").parent
    units = np.asarray(Image.open(data / "train" / "depth" / "0002.png")).copy()
    units[:40] = 9999
    Image.fromarray(units).save(data / "train" / "depth" / "0002.png")
    pack(data, tmp_path / "packed", Options(5000.0, 9999), workers=1)
    with pytest.warns(UserWarning, match="25600 pixels of 1 depth maps"):
        plain = open_split(str(data), "train", cache_dir=str(tmp_path / "cache"),
                           depth_units_per_m=5000.0, missing_depth_value=9999)
    pairs = open_split(str(tmp_path / "packed"), "train", cache_dir="")
    assert pairs.fingerprint == plain.fingerprint and pairs.units_per_m == 5000
    assert (pairs.cleared_pixels, pairs.cleared_maps) == (640 * 40, 1)
    np.testing.assert_array_equal(pairs.depth[2], plain.depth[2])
    assert not pairs.depth[2, :40].any()
    with pytest.raises(UserError, match=r"--missing_depth_value=7: .* was packed with 9999"):
        open_split(str(tmp_path / "packed"), "train", cache_dir="", missing_depth_value=7)


def test_inverse_depth_stays_inverse_depth(tiny_data, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(tiny_data / "train", data / "train")
    (data / "train" / "depth").rename(data / "train" / "inverse_depth")
    pack(data, tmp_path / "packed", Options(), workers=1)
    with pytest.raises(UserError, match="holds inverse_depth, which has no unit, but metres"):
        open_split(str(tmp_path / "packed"), "train", cache_dir="")
    assert len(open_split(str(tmp_path / "packed"), "train", cache_dir="", relative=True)) == 12
    train, _ = open_data(DataOptions(
        (str(tiny_data), str(tmp_path / "packed")), str(tmp_path / "cache")))
    assert train.labels[-1] == 2


def test_broken_pairs_fail_or_are_left_out(tiny_data, tmp_path):
    data = shutil.copytree(tiny_data, tmp_path / "data")
    broken = data / "train" / "rgb" / "0004.png"
    broken.write_bytes(broken.read_bytes()[:900])
    Image.fromarray(np.zeros((480, 640), np.uint16)).save(data / "train" / "depth" / "0007.png")
    with pytest.raises(UserError, match=r"rgb/0004.png: the picture is broken"):
        pack(data, tmp_path / "packed", Options(), workers=1)
    with pytest.raises(UserError, match="packing was not finished; run the same"):
        open_split(str(tmp_path / "packed"), "train", cache_dir="")
    said = []
    pack(data, tmp_path / "other", Options(on_bad_sample="skip"), said.append, workers=1)
    assert said[0].startswith("left out: 2 pairs (")
    assert "0007: no pixel has a valid depth" in said[0]
    pairs = open_split(str(tmp_path / "other"), "train", cache_dir="")
    with pytest.warns(UserWarning, match="2 pairs left out"):
        plain = open_split(str(data), "train", cache_dir=str(tmp_path / "cache"),
                           on_bad_sample="skip")
    assert tuple(pairs.names) == plain.names and pairs.fingerprint == plain.fingerprint
    said.clear()
    pack(data, tmp_path / "other", Options(on_bad_sample="skip"), said.append, workers=1)
    assert said == [f"{tmp_path / 'other'}: already packed and undamaged"]


def test_shards_do_not_depend_on_the_processes(tiny_data, packed, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "SHARD_BYTES", 2_000_000)
    pack(tiny_data, tmp_path / "packed", Options(), workers=2)
    for path in packed.iterdir():
        if path.name != ".lock":
            assert path.read_bytes() == (tmp_path / "packed" / path.name).read_bytes(), path.name


def test_killed_at_every_step_a_packing_goes_on(tmp_path):
    random = np.random.default_rng(0)
    for kind in ("rgb", "depth"):
        (tmp_path / "data" / "train" / kind).mkdir(parents=True)
    for index in range(5):
        for kind, image in (
                ("rgb", random.integers(0, 255, (48, 64, 3), np.uint8)),
                ("depth", random.integers(1, 9000, (48, 64)).astype(np.uint16))):
            Image.fromarray(image).save(
                tmp_path / "data" / "train" / kind / f"{index}.png")
    done = subprocess.run(
        [sys.executable, REPOSITORY / "tests" / "pack_kill_driver.py", tmp_path / "data",
         tmp_path / "packed"], capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(
            [str(REPOSITORY), os.environ.get("PYTHONPATH", "")])})
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["different"] == [] and report["shards"] > 2 and report["pairs"] == 5
    assert report["kills"] >= 20 and report["decoded_at_most"] <= 5 + 2  # one shard again


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


DAMAGES = {  # what is done to the second shard, words of the answer
    "missing": (lambda path: path.unlink(), "cannot be read (No such file or directory)"),
    "cut": (lambda path: os.truncate(path, path.stat().st_size - 70_000), "were written"),
    "flipped": (flip, "damaged, record"),
    "no rows": (lambda path: path.with_suffix(".npy").unlink(), "cannot be read (No such file"),
    "rows cut": (lambda path: os.truncate(path.with_suffix(".npy"), 140), "damaged"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_shard_is_named_and_packed_again(tiny_data, packed, copy, monkeypatch, damage):
    do, words = DAMAGES[damage]
    do(copy / "train-00001.arrayrecord")
    with pytest.raises(UserError) as caught:
        pairs = open_split(str(copy), "train", cache_dir="")
        _ = pairs.rgb[:]
    message = str(caught.value)
    assert f"{copy}/train-00001." in message and "\n" not in message
    assert words in message
    remedy = f"python -m mai_depth.data.pack --input={tiny_data} --output={copy}"
    assert message.endswith(remedy)
    if damage == "rows cut":
        (copy / "train-00001.npy").unlink()  # as the message says
    monkeypatch.setattr(packing, "SHARD_BYTES", 2_000_000)
    said = []
    pack(tiny_data, copy, Options(), said.append, workers=1)
    assert said[0] == f"{copy / 'train-00001.arrayrecord'}: missing or damaged; it is packed again"
    for path in packed.iterdir():
        assert path.read_bytes() == (copy / path.name).read_bytes() or path.name == ".lock"
    assert len(open_split(str(copy), "train", cache_dir="").rgb[:]) == 12


@pytest.mark.parametrize(("content", "words"), [
    ('{"version": 7}', "pack.json: is of version 7, this mai_depth reads 1; pack the folder again"),
    ('{"version": 1}', "pack.json: damaged (KeyError: 'plan'); remove"),
    ("[]", "pack.json: damaged (ValueError: a list instead of a dict); remove"),
    ("{", "pack.json: damaged (JSONDecodeError"),
    ('{"version": 1, "plan": {"input": "a"}, "splits": {"train": {"kind": 3}}}', "damaged"),
])
def test_another_manifest_is_one_line(copy, content, words):
    (copy / "pack.json").write_text(content)
    with pytest.raises(UserError) as caught:
        open_split(str(copy), "train", cache_dir="")
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_split_that_was_not_packed_is_named(copy):
    with pytest.raises(UserError, match=r"copy: packed without test, it has train and validation"):
        open_split(str(copy), "test", cache_dir="")


@pytest.mark.parametrize(("prepare", "options", "words"), [
    (lambda data, output: output.mkdir() or (output / "a").touch(), {}, "holds other files"),
    (lambda data, output: pack(data, output, Options(), workers=1),
     {"depth_units_per_m": 5000.0}, "holds another packing"),
    (lambda data, output: pack(data, output, Options(), workers=1) and os.utime(
        data / "train" / "rgb" / "0001.png"), {}, "was begun before files in"),
    (lambda data, output: (data / "train").rename(data / "other") and shutil.rmtree(
        data / "other"), {}, "holds no SPLIT/rgb and SPLIT/depth"),
])
def test_what_packing_refuses(tiny_data, tmp_path, prepare, options, words):
    shutil.copytree(tiny_data / "validation", tmp_path / "data" / "train")
    prepare(tmp_path / "data", tmp_path / "packed")
    with pytest.raises(UserError, match=words):
        pack(tmp_path / "data", tmp_path / "packed", Options(**options), workers=1)


def test_a_packed_folder_is_not_packed_and_not_its_own_output(tiny_data, copy):
    with pytest.raises(UserError, match="is already packed; copy it as it is"):
        pack(copy, copy.with_name("again"), Options())
    with pytest.raises(UserError, match="this is the input"):
        pack(tiny_data, tiny_data, Options())


def test_without_the_extra_one_line_says_what_to_install(copy, tiny_data, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "array_record.python", None)
    with pytest.raises(UserError, match=r"pip install 'mai_depth\[scale\]'"):
        pack(tiny_data, tmp_path / "packed", Options())
    pairs = open_split(str(copy), "train", cache_dir="")
    with pytest.raises(UserError, match=r"pip install 'mai_depth\[scale\]'"):
        _ = pairs.rgb[0]
