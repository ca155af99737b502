"""mai_depth.picture: a file is opened and checked by its header, turned, and scaled to 8 bits."""

import concurrent.futures
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import ExifTags
from PIL import Image

from mai_depth.depth import read_depth_units
from mai_depth.errors import UserError
from mai_depth.picture import SIDEWAYS
from mai_depth.picture import eight_bits
from mai_depth.picture import open_picture
from mai_depth.picture import orientation
from mai_depth.picture import upright

STORED = [[1, 2, 3],
          [4, 5, 6]]
UPRIGHT = {  # by hand: "row 0 is the right side, column 0 the top" and so on, EXIF 2.3, tag 274
    1: STORED,
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[4, 1], [5, 2], [6, 3]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[3, 6], [2, 5], [1, 4]],
    0: STORED,  # a number outside the standard turns nothing
    9: STORED,
}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("turn", UPRIGHT)
def test_eight_orientations_by_hand(turn, dtype):
    image = Image.fromarray(np.array(STORED, dtype))
    turned = upright(image, turn)
    np.testing.assert_array_equal(np.asarray(turned), np.array(UPRIGHT[turn], dtype), strict=True)
    assert (turned.size != image.size) == (turn in SIDEWAYS)
    np.testing.assert_array_equal(np.asarray(image), np.array(STORED, dtype))


def damaged_exif():
    """Its orientation is 6; its width is a float, which Pillow can read but not write."""
    width = struct.pack(">HHIf", ExifTags.Base.ImageWidth, 11, 1, 48.0)
    turn = struct.pack(">HHIHH", ExifTags.Base.Orientation, 3, 1, 6, 0)
    return (b"Exif\0\0" + struct.pack(">2sHIH", b"MM", 42, 8, 2) + width + turn
            + struct.pack(">I", 0))


def test_a_damaged_exif_whose_orientation_can_be_read_is_followed(tmp_path):
    Image.fromarray(np.full((32, 48), 90, np.uint8)).save(tmp_path / "x.jpg", exif=damaged_exif())
    with open_picture(tmp_path / "x.jpg") as image:
        assert upright(image, orientation(image)).size == (32, 48)


def test_no_exif_is_upright(tmp_path):
    Image.new("L", (48, 32)).save(tmp_path / "x.png")
    with open_picture(tmp_path / "x.png") as image:
        assert orientation(image) == 1


def test_sixteen_bits_become_eight_by_hand():
    image = Image.fromarray(np.array([[0, 256, 257, 32896, 65534, 65535]], np.uint16))
    assert np.asarray(eight_bits(image)).tolist() == [[0, 0, 1, 128, 254, 255]]
    color = Image.new("RGB", (2, 2))
    assert eight_bits(color) is color


def claim(width, height):
    """A gray PNG of few bytes that claims to be large."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header
            + struct.pack(">I", zlib.crc32(header)) + struct.pack(">I", 0) + b"IDAT" + b"\0" * 4)


@pytest.mark.parametrize("side", [9000, 10_000, 60_000])
def test_depth_that_claims_too_many_pixels_is_never_decoded(tmp_path, side):
    (tmp_path / "d.png").write_bytes(claim(side, side))
    with pytest.raises(UserError, match=r"d\.png: .*; scale the picture down"):
        read_depth_units(tmp_path / "d.png")


def test_threads_share_no_filter_of_warnings(tmp_path):
    (tmp_path / "x.png").write_bytes(claim(10_000, 10_000))

    def attempt(_):
        with pytest.raises(UserError, match="million pixels"), open_picture(tmp_path / "x.png"):
            pass

    before = list(warnings.filters)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, range(200)))
    assert warnings.filters == before


def test_another_format_is_refused_with_those_that_are_meant(tmp_path):
    Image.new("L", (48, 32)).save(tmp_path / "x.png", format="GIF")
    for formats, words in ((("PNG",), "with a PNG file"), (("PNG", "JPEG"), "a PNG or JPEG file")):
        with (pytest.raises(UserError, match=f"not a picture.*{words}$"),
              open_picture(tmp_path / "x.png", formats)):
            pass


def test_what_fails_in_the_block_is_the_picture(tmp_path):
    Image.new("L", (48, 32)).save(tmp_path / "x.png")
    with (pytest.raises(UserError, match=r"x\.png: the picture is broken \(two lines\); replace"),
          open_picture(tmp_path / "x.png")):
        raise RuntimeError("two\nlines")
    with pytest.raises(UserError, match=r"^mine$"), open_picture(tmp_path / "x.png"):
        raise UserError("mine")
