"""Every kind of picture that is read, and every fault that is refused in one line."""

import os
import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from mai_depth.data import samples
from mai_depth.data.sources import open_pictures
from mai_depth.data.sources import open_split
from mai_depth.depth import read_depth_units
from mai_depth.errors import UserError
from mai_depth.errors import UserNotice


@pytest.fixture
def data(tiny_data, tmp_path):
    """A copy of six pairs that a test may break."""
    shutil.copytree(tiny_data / "validation", tmp_path / "data" / "train")
    return tmp_path / "data"


def open_train(data, **options):
    return open_split(data, "train", cache_dir=data.parent / "cache", **options)


# What is read


def test_jpeg_and_capital_suffixes_are_read(data):
    path = data / "train" / "rgb" / "0000.png"
    with Image.open(path) as image:
        image.save(path.with_suffix(".jpg"))
    path.unlink()
    (data / "train" / "rgb" / "0001.png").rename(data / "train" / "rgb" / "0001.PNG")
    assert len(open_train(data)) == 6


@pytest.mark.parametrize("mode, expected", [
    ("L", [90, 90, 90]), ("RGBA", [200, 100, 50]), ("P", [200, 100, 50]), ("1", [255, 255, 255]),
    ("LA", [90, 90, 90]), ("I;16", [90, 90, 90]),
])
def test_every_kind_of_png_becomes_rgb(data, mode, expected):
    image = Image.new("RGB", (640, 480), (200, 100, 50))
    if mode == "I;16":
        image = Image.fromarray(np.full((480, 640), 90 * 257 + 20, np.uint16))
    elif mode in ("L", "LA"):
        image = Image.new(mode, (640, 480), 90 if mode == "L" else (90, 128))
    elif mode == "1":
        image = Image.new("1", (640, 480), 1)
    else:
        image = image.convert(mode, palette=Image.Palette.ADAPTIVE)
    image.save(data / "train" / "rgb" / "0002.png")
    assert open_train(data).rgb[2, 7, 9].tolist() == expected


def test_a_cmyk_jpeg_becomes_rgb(data):
    (data / "train" / "rgb" / "0002.png").unlink()
    Image.new("CMYK", (640, 480), (0, 0, 0, 0)).save(data / "train" / "rgb" / "0002.jpg")
    assert open_train(data).rgb[2].min() > 250


def test_a_larger_4_3_pair_is_resized_depth_by_the_nearest_pixel(data):
    depth = np.zeros((960, 1280), np.uint16)
    depth[:, :640], depth[:, 640:] = 1000, 3000
    rgb = np.zeros((960, 1280, 3), np.uint8)
    rgb[::2] = 200
    Image.fromarray(depth).save(data / "train" / "depth" / "0002.png")
    Image.fromarray(rgb).save(data / "train" / "rgb" / "0002.png")
    pairs = open_train(data)
    assert np.unique(pairs.depth[2][:, :320]) == [1000]
    assert np.unique(pairs.depth[2][:, 320:]) == [3000]
    assert pairs.rgb[2][8:-8].mean() == pytest.approx(100, abs=2)  # stripes average, no aliasing


def test_allow_resize_brings_smaller_depth_to_its_picture(data):
    half = read_depth_units(data / "train" / "depth" / "0002.png")[::2, ::2]
    Image.fromarray(half).save(data / "train" / "depth" / "0002.png")
    with pytest.raises(UserError, match=r"640x480.*320x240.*--allow_resize"):
        open_train(data)
    pairs = open_train(data, allow_resize=True)
    assert np.array_equal(pairs.depth[2], half.repeat(2, 0).repeat(2, 1))
    pictures = open_pictures(
        str(data), "train", cache_dir=str(data.parent / "cache"), allow_resize=True)
    assert pictures.fingerprint == pairs.fingerprint  # export takes what training takes


# What is refused, in one line with the file and the remedy


def save(path, image):
    image.save(path, format="PNG")


FAULTS = {
    "no split": (lambda d: shutil.rmtree(d), ["train", "--data_dir", "SPLIT/rgb"]),
    "no depth folder": (lambda d: shutil.rmtree(d / "depth"), ["depth", "--data_dir"]),
    "empty folder": (
        lambda d: [path.unlink() for path in (d / "rgb").iterdir()],
        ["rgb", "empty", "--data_dir"]),
    "rgb alone": (lambda d: (d / "depth" / "0002.png").unlink(), ["1 without depth (0002)"]),
    "both alone": (
        lambda d: [(d / "depth" / "0002.png").rename(d / "depth" / "x.png")],
        ["1 without depth (0002)", "1 without rgb (x)"]),
    "same stem": (
        lambda d: shutil.copy(d / "rgb" / "0002.png", d / "rgb" / "0002.jpg"),
        ["0002.png", "0002.jpg", "remove one"]),
    "text file": (lambda d: (d / "rgb" / "notes.txt").write_text("a"), ["notes.txt", "move"]),
    "depth as jpg": (
        lambda d: (d / "depth" / "0002.png").rename(d / "depth" / "0002.jpg"), ["0002.jpg"]),
    "subfolder": (lambda d: (d / "rgb" / "more.png").mkdir(), ["more.png"]),
    "zero bytes": (
        lambda d: (d / "rgb" / "0002.png").write_bytes(b""), ["rgb/0002.png", "empty"]),
    "text as png": (
        lambda d: (d / "rgb" / "0002.png").write_text("hello"), ["rgb/0002.png", "replace"]),
    "gif as png": (
        lambda d: Image.new("L", (640, 480)).save(d / "rgb" / "0002.png", format="GIF"),
        ["rgb/0002.png", "PNG or JPEG"]),
    "animation": (
        lambda d: Image.new("L", (640, 480)).save(
            d / "rgb" / "0002.png", save_all=True, append_images=[Image.new("L", (640, 480), 9)]),
        ["rgb/0002.png", "animation"]),
    "8-bit depth": (
        lambda d: save(d / "depth" / "0002.png", Image.new("L", (640, 480), 9)),
        ["depth/0002.png", "8-bit gray", "convert"]),
    "RGB depth": (
        lambda d: save(d / "depth" / "0002.png", Image.new("RGB", (640, 480))),
        ["depth/0002.png", "8-bit RGB", "convert"]),
    "other size": (
        lambda d: save(d / "rgb" / "0002.png", Image.new("RGB", (640, 360))),
        ["rgb/0002.png is 640x360", "depth/0002.png is 640x480", "crop"]),
    "not 4:3": (
        lambda d: [
            save(d / "rgb" / "0002.png", Image.new("RGB", (640, 360))),
            save(d / "depth" / "0002.png", Image.fromarray(np.ones((360, 640), np.uint16)))],
        ["rgb/0002.png", "640x360", "4:3"]),
    "tiny": (
        lambda d: [
            save(d / "rgb" / "0002.png", Image.new("RGB", (4, 3))),
            save(d / "depth" / "0002.png", Image.fromarray(np.ones((3, 4), np.uint16)))],
        ["rgb/0002.png", "too small"]),
    "dangling link": (
        lambda d: [(d / "rgb" / "0002.png").unlink(), (d / "rgb" / "0002.png").symlink_to("no")],
        ["rgb/0002.png"]),
    "link loop": (
        lambda d: [
            (d / "rgb" / "0002.png").unlink(), (d / "rgb" / "0002.png").symlink_to("0002.png")],
        ["rgb/0002.png"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_folder_is_refused_before_anything_is_decoded(data, fault, monkeypatch):
    def refuse(*_):
        raise AssertionError("a picture was decoded")

    monkeypatch.setattr(samples, "decode_pair", refuse)
    breaking, words = FAULTS[fault]
    breaking(data / "train")
    with pytest.raises(UserError) as caught:
        open_train(data)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    written = data.parent / "cache"
    assert not written.exists() or not os.listdir(written)


def test_orphans_are_counted_and_five_are_named(data):
    for path in list((data / "train" / "depth").iterdir()):
        path.rename(path.with_stem(f"d{path.stem}"))
    with pytest.raises(UserError) as caught:
        open_train(data)
    assert "6 without depth (0000, 0001, 0002, 0003, 0004, ...)" in str(caught.value)
    assert "6 without rgb (d0000, d0001, d0002, d0003, d0004, ...)" in str(caught.value)


@pytest.mark.parametrize("kind", ["rgb", "depth"])
def test_a_truncated_picture_is_named_and_leaves_no_cache(data, kind):
    path = data / "train" / kind / "0004.png"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=f"{kind}/0004.png.*broken.*replace"):
        open_train(data)
    assert os.listdir(data.parent / "cache") == []


def test_a_truncated_jpeg_is_named(data):
    path = data / "train" / "rgb" / "0004.png"
    with Image.open(path) as image:
        image.save(path.with_suffix(".jpg"))
    path.unlink()
    path = path.with_suffix(".jpg")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=r"rgb/0004.jpg.*broken.*replace"):
        open_train(data)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_rotated_picture_is_refused(data, suffix):
    path = data / "train" / "rgb" / "0001.png"
    with Image.open(path) as image:
        exif = image.getexif()
        exif[0x0112] = 6
        pixels = image.copy()
    path.unlink()
    pixels.save(path.with_suffix(f".{suffix}"), exif=exif)
    with pytest.raises(UserError, match=r"rgb/0001.*orientation 6.*rotate"):
        open_train(data)


def test_a_picture_that_claims_too_many_pixels_is_never_decoded(data):
    Image.new("1", (12000, 9000)).save(data / "train" / "rgb" / "0001.png")
    with warnings.catch_warnings(), pytest.raises(UserError, match=r"0001.png.*64 million"):
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        open_train(data)


def test_depth_without_a_valid_pixel_is_left_out_and_listed(data):
    for name, value in (("0001", 0), ("0003", 65535)):
        depth = np.full((480, 640), value, np.uint16)
        Image.fromarray(depth).save(data / "train" / "depth" / f"{name}.png")
    for _ in range(2):  # decoded, then from the cache
        with pytest.warns(UserNotice, match=r"2 pairs left out.*0001: no pixel") as warned:
            pairs = open_train(data)
        assert {line.filename for line in warned} == {__file__}  # who has called `open_split`
        assert pairs.names == ("0000", "0002", "0004", "0005") and len(pairs.excluded) == 2
        assert np.array_equal(
            pairs.depth[1], read_depth_units(data / "train" / "depth" / "0002.png"))


def test_codes_that_mean_missing_are_missing_and_counted(data):
    """A common sensor writes 65535 where it has seen nothing, which was 65.5 m; others 10000."""
    for name, code in (("0001", 65535), ("0003", 65535), ("0004", 10000)):
        path = data / "train" / "depth" / f"{name}.png"
        depth = read_depth_units(path)
        depth[-100:] = code
        Image.fromarray(depth).save(path)
    for _ in range(2):  # decoded, then from the cache
        with pytest.warns(UserWarning) as warned:
            pairs = open_train(data)
        assert [str(line.message) for line in warned] == [
            "128000 pixels of 2 depth maps hold 65535 or --missing_depth_value and count as "
            "missing"]
        for index, code in ((1, 0), (3, 0), (4, 10000)):
            assert (pairs.depth[index][-100:] == code).all() and pairs.depth[index].any()
    with pytest.warns(UserWarning, match="^192000 pixels of 3 depth maps hold 65535 or"):
        other = open_train(data, missing_depth_value=10000)
    assert not other.depth[[1, 3, 4], -100:].any()
    assert other.fingerprint != pairs.fingerprint  # so a run on one is no run on the other
    with pytest.warns(UserWarning, match="192000 pixels"):
        pictures = open_pictures(str(data), "train", cache_dir=str(data.parent / "cache"),
                                 missing_depth_value=10000)
    assert pictures.fingerprint == other.fingerprint


@pytest.mark.parametrize("value", [-1, 65536, float("nan"), "x"])
def test_a_code_that_no_file_can_hold_is_refused(data, value):
    with pytest.raises(UserError, match=r"--missing_depth_value=.*: give a code .*0 to 65535"):
        open_train(data, missing_depth_value=value)


def test_no_valid_depth_at_all_is_refused(data):
    for path in (data / "train" / "depth").iterdir():
        Image.fromarray(np.zeros((480, 640), np.uint16)).save(path)
    with pytest.raises(UserError, match=r"no usable pair.*--depth_units_per_m"):
        open_train(data)


def test_skip_leaves_one_broken_pair_out_and_says_so(data):
    path = data / "train" / "rgb" / "0004.png"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.warns(UserWarning, match=r"1 pair left out.*rgb/0004.png"):
        pairs = open_train(data, on_bad_sample="skip")
    assert len(pairs) == 5 and "0004" not in pairs.names
    assert "rgb/0004.png" in pairs.excluded[0]
    with pytest.raises(UserError, match=r"rgb/0004.png.*broken"):  # the cache does not hide it
        open_train(data)


def test_skip_gives_up_above_one_percent(data):
    (data / "train" / "rgb" / "0004.png").write_bytes(b"")
    path = data / "train" / "depth" / "0002.png"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=r"more than 1 %.*--on_bad_sample=skip"):
        open_train(data, on_bad_sample="skip")
