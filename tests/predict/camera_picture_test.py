"""mai_depth.predict.camera_picture: any picture becomes upright RGB."""

import pathlib
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import ExifTags
from PIL import Image

from mai_depth.errors import UserError
from mai_depth.predict.camera_picture import read_picture

TURNS = {  # EXIF 2.3, tag 274: what makes upright pixels of stored ones
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# 64x48, from the stored pixels of `phone_rgb`, marked as lying on its right side, 26 mm of film.
PHONE = pathlib.Path(__file__).with_name("phone.heic")


def phone_rgb():
    rows, columns = np.mgrid[:48, :64]
    return np.stack([4 * columns, 5 * rows, 0 * rows + 128], axis=-1).astype(np.uint8)


def gradient(width=96, height=64):
    """Red rises to the right, green downwards, blue is constant."""
    rows, columns = np.mgrid[0:height, 0:width]
    rgb = np.stack([255 * columns / width, 255 * rows / height, 0 * rows + 90], axis=-1)
    return rgb.astype(np.uint8)


def with_alpha(image):
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (0, 0, 20, 20))
    image.putalpha(alpha)
    return image


def sixteen_bits(image):
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


CONVERSIONS = {
    "plain.png": (lambda image: image, 0),
    "plain.jpg": (lambda image: image, 6),
    "plain.bmp": (lambda image: image, 0),
    "plain.webp": (lambda image: image, 12),
    "palette.png": (lambda image: image.quantize(256), 12),
    "animation.gif": (lambda image: image.quantize(256), 12),
    "cmyk.jpg": (lambda image: image.convert("CMYK"), 6),
    "gray.png": (lambda image: image.convert("L"), 0),
    "gray.jpg": (lambda image: image.convert("L"), 3),
    "gray_alpha.png": (lambda image: image.convert("LA"), 0),
    "16bit.png": (sixteen_bits, 0),
    "16bit.tif": (sixteen_bits, 0),
}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_every_kind_of_picture_becomes_rgb(tmp_path, name):
    convert, tolerance = CONVERSIONS[name]
    image = Image.fromarray(gradient())
    further = {"save_all": True, "append_images": [image]} if name.endswith("gif") else {}
    convert(image.copy()).save(tmp_path / name, **further)
    picture = read_picture(tmp_path / name)
    is_gray = "gray" in name or "16bit" in name
    expected = image.convert("L").convert("RGB") if is_gray else image
    difference = np.asarray(picture.rgb).astype(int) - np.asarray(expected)
    assert picture.rgb.mode == "RGB"
    assert np.abs(difference).mean() <= tolerance / 3
    assert np.abs(difference).max() <= tolerance * 4


def test_transparency_is_white_and_not_what_lies_under_it(tmp_path):
    with_alpha(Image.fromarray(gradient())).save(tmp_path / "x.png")
    rgb = np.asarray(read_picture(tmp_path / "x.png").rgb)
    assert (rgb[:20, :20] == 255).all()
    np.testing.assert_array_equal(rgb[20:, 20:], gradient()[20:, 20:])


def test_float_picture_is_scaled_to_its_brightest_pixel(tmp_path):
    Image.fromarray(np.linspace(0, 3, 64 * 64, dtype=np.float32).reshape(64, 64)).save(
        tmp_path / "x.tif")
    rgb = np.asarray(read_picture(tmp_path / "x.tif").rgb)
    assert (rgb[0, 0], rgb[-1, -1]) == (pytest.approx(0), pytest.approx(255))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 255.0, 1e30])
@pytest.mark.parametrize("hot", [1e9, np.inf, -np.inf, np.nan])
def test_a_float_picture_is_no_darker_for_its_hot_pixels(tmp_path, hot, scale):
    """One pixel of 4096, or as many as a sensor may have, changes no other by more than a step."""
    values = np.random.default_rng(0).uniform(0, scale, (64, 64)).astype(np.float32)
    Image.fromarray(values).save(tmp_path / "x.tif")
    before = np.asarray(read_picture(tmp_path / "x.tif").rgb).astype(int)
    assert 125 < before.mean() < 130
    for count in (1, 8):
        values.flat[: 100 * count : 100] = hot * (scale if scale < 1e20 else 1.0)
        Image.fromarray(values).save(tmp_path / "x.tif")
        after = np.asarray(read_picture(tmp_path / "x.tif").rgb).astype(int)
        assert (np.abs(after - before) > 1).any(axis=-1).sum() <= count


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, 1e-38])
def test_a_float_picture_of_one_value_is_a_picture(tmp_path, value):
    Image.fromarray(np.full((64, 64), value, np.float32)).save(tmp_path / "x.tif")
    assert read_picture(tmp_path / "x.tif").rgb.size == (64, 64)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path, orientation, suffix):
    upright = Image.fromarray(gradient())
    undo = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    turn = undo.get(orientation, TURNS.get(orientation))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = upright if turn is None else upright.transpose(turn)
    stored.save(tmp_path / f"x.{suffix}", exif=exif, quality=95)
    picture = read_picture(tmp_path / f"x.{suffix}")
    assert picture.size == (96, 64)
    assert np.abs(np.asarray(picture.rgb).astype(int) - gradient()).mean() < 4


def test_a_phones_heic_is_upright_and_has_its_focal_length():
    pytest.importorskip("pi_heif", reason="pi-heif is not installed")
    picture = read_picture(PHONE)
    upright = np.rot90(phone_rgb(), -1)
    assert picture.size == (48, 64)
    assert np.abs(np.asarray(picture.rgb).astype(int) - upright).mean() < 3
    assert picture.focal_px == pytest.approx(26 / np.hypot(36, 24) * np.hypot(48, 64), rel=0.01)


def test_a_heic_without_its_package_names_the_package(tmp_path):
    """As on a board, where requirements-board.txt does not bring it."""
    (tmp_path / "pi_heif.py").write_text("raise ImportError")
    code = f"from mai_depth.predict import camera_picture as c; c.read_picture({str(PHONE)!r})"
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=False,
                          env={"PYTHONPATH": f"{tmp_path}:{pathlib.Path(__file__).parents[2]}"})
    assert done.stderr.splitlines()[-1] == (
        f"mai_depth.errors.UserError: {PHONE}: a HEIC picture needs another package; "
        "pip install pi-heif, or replace it with a PNG or JPEG file")


def test_a_broken_heic_is_named(tmp_path):
    pytest.importorskip("pi_heif", reason="pi-heif is not installed")
    for size in (40, 400, 900):
        (tmp_path / "x.heic").write_bytes(PHONE.read_bytes()[:size])
        with pytest.raises(UserError, match=r"x\.heic: .*replace"):
            read_picture(tmp_path / "x.heic")


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_tiff_is_not_scrambled(tmp_path, orientation, dtype, compression):
    rows, columns = np.mgrid[:48, :64]
    gray = ((3 * rows + columns) * (1 if dtype == np.uint8 else 257)).astype(dtype)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(gray).save(tmp_path / "x.tif", exif=exif, compression=compression)
    upright = Image.fromarray((3 * rows + columns).astype(np.uint8))
    if orientation in TURNS:
        upright = upright.transpose(TURNS[orientation])
    picture = read_picture(tmp_path / "x.tif")
    assert picture.size == upright.size
    np.testing.assert_array_equal(np.asarray(picture.rgb)[..., 0], np.asarray(upright))


def test_large_picture_is_reduced_while_it_is_decoded(tmp_path):
    Image.fromarray(gradient(96, 64)).resize((4800, 3200)).save(tmp_path / "x.jpg")
    picture = read_picture(tmp_path / "x.jpg")
    assert picture.size == (4800, 3200)
    assert picture.rgb.size == (2048, 1365)
    assert picture.view_size(640) == (640, 427)


def claim(width, height):
    """A PNG of few bytes that claims to be large."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header
            + struct.pack(">I", zlib.crc32(header)) + struct.pack(">I", 0) + b"IDAT" + b"\0" * 4)


@pytest.mark.parametrize(("content", "words"), [
    (b"", "empty"),
    (b"this is no picture, though its name says so", "not a picture"),
    (claim(9000, 9000), "million pixels"),
    (claim(10_000, 10_000), "million pixels"),
    (claim(60_000, 60_000), "scale the picture down"),
    (claim(100, 100), "broken"),
    (claim(4, 400), "too small"),
    (None, "No such file"),
])
def test_what_is_no_picture_is_named(tmp_path, content, words):
    path = tmp_path / "x.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        read_picture(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_truncated_picture_is_broken(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="broken"):
        read_picture(path)
