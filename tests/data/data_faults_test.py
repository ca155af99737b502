"""Faults of training data that a folder shows only while it is read, and strange file names."""

import contextlib
import os
import pathlib
import struct
import tempfile
import zlib

import numpy as np
import pytest
from PIL import Image

from mai_depth.data.folder import list_pairs
from mai_depth.data.samples import check_pair
from mai_depth.data.samples import decode_pair
from mai_depth.data.samples import samples
from mai_depth.errors import UserError
from mai_depth.predict.camera_picture import read_picture


@pytest.fixture
def split(tmp_path):
    return write_split(tmp_path / "train")


def write_split(split, names=("a", "b")):
    """Two small pairs."""
    for kind, pixels in (("rgb", np.full((48, 64, 3), 90, np.uint8)),
                         ("depth", np.full((48, 64), 2000, np.uint16))):
        (split / kind).mkdir(parents=True)
        for name in names:
            Image.fromarray(pixels).save(split / kind / f"{name}.png")
    return split


def decode_all(split):
    return list(samples(list_pairs(split), allow_resize=False, on_bad_sample="fail"))


def write_png(path, width, height, bits, color, rows):
    """A PNG by hand: Pillow writes no 16-bit RGB and no empty picture."""
    def chunk(name, content):
        return (struct.pack(">I", len(content)) + name + content
                + struct.pack(">I", zlib.crc32(name + content)))

    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def test_a_16_bit_rgb_picture_keeps_its_high_byte(split):
    """Of 16 bits the network sees 8: 0xC8FF is 200, whatever the low byte says."""
    row = b"\0" + struct.pack(">HHH", 0xC8FF, 0x6401, 0x3280) * 64
    for name in ("a", "b"):
        write_png(split / "rgb" / f"{name}.png", 64, 48, 16, 2, row * 48)
    assert decode_all(split)[0].rgb[7, 9].tolist() == [200, 100, 50]
    assert np.asarray(read_picture(split / "rgb" / "a.png").rgb)[7, 9].tolist() == [200, 100, 50]


@pytest.mark.parametrize(("width", "height"), [(0, 48), (64, 0), (1, 1), (1, 48)])
def test_a_picture_without_area_is_refused(split, width, height):
    path = split / "rgb" / "a.png"
    write_png(path, width, height, 8, 2, (b"\0" + bytes(3 * width)) * height)
    with pytest.raises(UserError, match=r"rgb/a\.png"):
        decode_all(split)
    with pytest.raises(UserError, match=r"a\.png"):
        read_picture(path)


@pytest.mark.parametrize("kind", ["rgb", "depth"])
def test_a_file_that_vanishes_after_it_was_listed_is_named(split, kind):
    pair, _ = list_pairs(split)
    check_pair(pair, allow_resize=False)
    getattr(pair, kind).path.unlink()
    for read in (lambda: check_pair(pair, allow_resize=False), lambda: decode_pair(pair)):
        with pytest.raises(UserError, match=rf"{kind}/a\.png: cannot be read \(No such file"):
            read()


def test_a_file_that_is_exchanged_after_it_was_checked_is_named(split):
    pair, _ = list_pairs(split)
    check_pair(pair, allow_resize=False)
    pair.depth.path.write_text("now a text")
    with pytest.raises(UserError, match=r"depth/a\.png: not a PNG file"):
        decode_pair(pair)


@contextlib.contextmanager
def unprivileged():
    """Root may read everything, so it becomes nobody for a moment."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_file_that_may_not_be_read_is_named():
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to nobody
        os.chmod(folder, 0o755)
        split = write_split(pathlib.Path(folder, "train"))
        path = split / "rgb" / "a.png"
        path.chmod(0)
        with unprivileged(), pytest.raises(
                UserError, match=r"rgb/a\.png: cannot be read \(Permission denied\)"):
            decode_all(split)


def test_strange_names_are_names(tmp_path):
    """Spaces, a newline, an umlaut and bytes that are no UTF-8."""
    names = ["a b", "two\nlines", "größe", os.fsdecode(b"\xff\xfe")]
    decoded = decode_all(write_split(tmp_path / "train", names))
    assert {sample.name for sample in decoded} == set(names)


def test_a_picture_with_an_unreadable_exif_is_named(split):
    path = split / "rgb" / "a.png"
    Image.new("RGB", (64, 48)).save(path, exif=b"Exif\0\0no TIFF header")
    with pytest.raises(UserError, match=r"rgb/a\.png: the picture is broken .*; replace the file"):
        decode_all(split)
