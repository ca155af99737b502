"""The depth contract on disk and in memory, with numbers to check by hand."""

import io

import numpy as np
import pytest
from PIL import Image

from mai_depth.depth import clear_missing
from mai_depth.depth import read_depth
from mai_depth.depth import read_depth_units
from mai_depth.depth import valid_mask
from mai_depth.depth import write_depth
from mai_depth.depth import write_depth_rows
from mai_depth.errors import UserError
from mai_depth.errors import UserNotice


def test_valid_is_finite_and_more_than_one_millimetre():
    depth_m = np.array([0.0, 0.001, 0.0011, 40.0, -1.0, np.nan, np.inf], np.float64)
    assert valid_mask(depth_m).tolist() == [False, False, True, True, False, False, False]


def test_millimetres_on_disk_are_metres_in_memory(tmp_path):
    units = np.array([[0, 1, 1000], [1234, 40000, 65535]], np.uint16)
    Image.fromarray(units).save(tmp_path / "d.png")
    assert read_depth_units(tmp_path / "d.png").dtype == np.uint16
    assert np.array_equal(read_depth_units(tmp_path / "d.png"), units)
    depth_m = read_depth(tmp_path / "d.png")
    assert depth_m.dtype == np.float32
    assert depth_m.tolist() == np.float32([[0, 0.001, 1], [1.234, 40, 0]]).tolist()
    assert read_depth(tmp_path / "d.png", missing_value=1234)[1].tolist() == [0, 40, 0]
    assert read_depth(tmp_path / "d.png", units_per_m=5000)[0, 2] == np.float32(0.2)


def test_written_depth_rounds_saturates_and_marks_the_missing(tmp_path):
    depth_m = np.array([[1.2344, 1.2346, 70.0], [np.nan, -2.0, 0.0005]])
    with pytest.warns(UserWarning, match=r"d.png: 1 pixels are deeper than 65.534 m.*--write=npy"):
        write_depth(tmp_path / "d.png", depth_m)
    assert read_depth_units(tmp_path / "d.png").tolist() == [[1234, 1235, 65534], [0, 0, 0]]


def test_the_highest_code_and_the_one_named_are_missing():
    units = np.array([[0, 1, 10000, 65535], [65534, 10000, 10001, 65535]], np.uint16)
    same = units.copy()
    assert clear_missing(same) == 2
    assert same.tolist() == [[0, 1, 10000, 0], [65534, 10000, 10001, 0]]
    assert clear_missing(units, 10000) == 4
    assert units.tolist() == [[0, 1, 0, 0], [65534, 0, 10001, 0]]
    assert clear_missing(units, 0) == clear_missing(units, 10000) == 0


def test_every_unit_survives_a_round_trip(tmp_path):
    units = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    units[0, 1] = 0  # 1 mm is not more than 1 mm
    units[-1, -1] = 65534  # 65535 is never written: it means missing
    write_depth(tmp_path / "d.png", units / 1000)
    assert np.array_equal(read_depth_units(tmp_path / "d.png"), units)


def test_a_large_map_is_converted_row_by_row_to_the_same_units(tmp_path):
    depth_m = np.random.default_rng(0).uniform(-1, 80, (700, 64)).astype(np.float32)
    depth_m[::7, ::5] = np.nan
    with pytest.warns(UserWarning, match=rf"{(depth_m > 65534.5 / 1234.5).sum()} pixels are deep"):
        write_depth(tmp_path / "d.png", depth_m, 1234.5)
    measured = np.where(valid_mask(depth_m), depth_m, 0.0)
    units = np.clip(np.rint(measured * 1234.5), 0, 65534).astype(np.uint16)
    assert np.array_equal(read_depth_units(tmp_path / "d.png"), units)


@pytest.mark.parametrize("mode, words", [
    ("L", "8-bit gray"), ("RGB", "8-bit RGB"), ("RGBA", "8-bit RGBA"), ("P", "-bit palette"),
    ("LA", "8-bit gray + alpha"), ("1", "1-bit gray"),
])
def test_other_than_16_bit_gray_is_refused_with_the_remedy(tmp_path, mode, words):
    Image.new(mode, (8, 6)).save(tmp_path / "d.png")
    with pytest.raises(UserError, match=words.replace("+", r"\+")) as caught:
        read_depth(tmp_path / "d.png")
    assert str(tmp_path / "d.png") in str(caught.value) and "convert" in str(caught.value)


def test_a_jpeg_a_text_an_empty_and_a_missing_file_are_named(tmp_path):
    Image.new("L", (8, 6)).save(tmp_path / "jpeg.png", format="JPEG")
    (tmp_path / "text.png").write_text("not a picture, but long enough for a header")
    (tmp_path / "empty.png").touch()
    for name in ("jpeg", "text", "empty", "missing"):
        with pytest.raises(UserError, match=f"{name}.png"):
            read_depth(tmp_path / f"{name}.png")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_named_wherever_it_ends(tmp_path, share):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 65535, (48, 64), dtype=np.uint16)
    Image.fromarray(noise).save(buffer, format="PNG")
    whole = buffer.getvalue()
    (tmp_path / "d.png").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match=r"d\.png"):
        read_depth(tmp_path / "d.png")


def test_who_has_called_is_shown_with_the_warning(tmp_path):
    depth_m = np.full((4, 4), 70.0)
    for write in (lambda path: write_depth(path, depth_m),
                  lambda path: write_depth_rows(path, (4, 4), [depth_m])):
        with pytest.warns(UserNotice, match="16 pixels are deeper") as warned:
            write(tmp_path / "d.png")
        assert [line.filename for line in warned] == [__file__]
