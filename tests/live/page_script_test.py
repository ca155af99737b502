"""What the page's JavaScript computes in the place of the server's Python: the same numbers."""

import io
import json
import pathlib

import numpy as np
import pytest
from chromium import launched
from PIL import Image

pytest.importorskip("cv2")

import mai_depth.live
from mai_depth.colormap import colorize
from mai_depth.colormap import depth_range
from mai_depth.colormap import ticks
from mai_depth.depth import depth_png
from mai_depth.live.drawing import color_table
from mai_depth.live.drawing import nearest_in_middle
from mai_depth.predict.calibration import fit_scale
from mai_depth.predict.camera_file import Camera
from mai_depth.predict.camera_file import camera_json
from mai_depth.predict.camera_picture import from_array
from mai_depth.predict.placement import place
from mai_depth.predict.placement import to_network

PAGE = pathlib.Path(mai_depth.live.__file__).parent / "page"
SCRIPTS = "\n".join((PAGE / name).read_text() for name in (
    "depth_map.js", "depth_png.js", "calibration.js")).replace('"use strict";', "")
HOLES = [0.0, 0.001, float("nan"), float("inf"), -1.0]


@pytest.fixture(scope="module")
def script():
    """Evaluates JavaScript with the page's functions; NaN and infinity travel by name."""
    with launched() as browser:
        page = browser.new_page()
        yield lambda code, **names: page.evaluate(
            "(names) => { const from = (_, value) => typeof value === 'string' && "
            "/^-?(NaN|Infinity)$/.test(value) ? Number(value) : value; "
            f"const given = JSON.parse(names, from); {SCRIPTS}; return ({code}); }}",
            json.dumps({name: plain(value) for name, value in names.items()}))


def plain(value):
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    return value


def room(height=96, width=128, holes=True):
    random = np.random.default_rng(3)
    depth = np.linspace(0.7, 6.0, height)[:, None] + random.uniform(0, 1, (height, width))
    if holes:
        at = random.integers(0, height * width, 500)
        depth.reshape(-1)[at] = np.resize(HOLES, 500)
    return depth.astype(np.float32)


MAP = ("({ values: Float32Array.from(given.depth.flat()), width: given.depth[0].length, "
       "height: given.depth.length })")


@pytest.mark.parametrize("depth", [
    room(), room(holes=False), np.zeros((24, 32), np.float32), np.full((24, 32), 2.0, np.float32)])
def test_ranges_and_the_nearest_are_pythons(script, depth):
    assert script(f"depthRange({MAP})", depth=depth) == pytest.approx(
        depth_range(depth[::8, ::8]), rel=1e-6)
    nearest = nearest_in_middle(depth)
    assert script(f"nearestInMiddle({MAP})", depth=depth) == (
        nearest if nearest is None else pytest.approx(nearest, rel=1e-6))


def test_a_percentile_by_hand(script):
    assert script("percentile(Float32Array.from([1, 2, 4]), 75)") == 3.0
    assert script("percentile(Float32Array.from([5]), 98)") == 5.0


@pytest.mark.parametrize(("near", "far"), [
    (0.62, 7.9), (1.63, 2.31), (2.0, 2.0), (0.9, 1.1), (3.301, 3.302), (10.0, 95.0), (0.0, 1.0)])
def test_ticks_are_pythons(script, near, far):
    given = script("ticks(given.near, given.far, 6)", near=near, far=far)
    right = ticks(near, far, 6)
    assert [label for label, _ in given] == [label for label, _ in right]
    assert [at for _, at in given] == pytest.approx([at for _, at in right])


def test_colors_are_pythons(script):
    depth = room()
    given = script(f"Array.from(colored({MAP}, 1.1, 5.0, given.colors).data)",
                   depth=depth, colors=color_table())
    rgba = np.array(given, np.uint8).reshape(*depth.shape, 4)
    right = colorize(depth, 1.1, 5.0)
    assert (rgba[..., 3] == 255).all()
    assert np.abs(rgba[..., :3].astype(int) - right).max() <= 8  # a rounded step of 255
    assert ((rgba[..., :3] == right).all(-1)).mean() > 0.999
    assert (rgba[~(np.isfinite(depth) & (depth > 0.001))][:, :3] == 0).all()


def test_the_range_of_a_video_is_followed(script):
    assert script("followed(null, [1, 2])") == [1, 2]
    assert script("followed([1, 2], [3, 2])") == pytest.approx([1.1, 2])


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (20, 48), (64, 9), (3, 48)])
def test_a_picture_of_any_aspect_is_padded_as_python_pads(script, size):
    width, height = size
    rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    placement = place(size, (64, 48), "pad")
    box = script("place({ width: given.width, height: given.height }, { width: 64, height: 48 })",
                 width=width, height=height)
    share = [box["left"] / 64, box["top"] / 48, (box["left"] + box["width"]) / 64,
             (box["top"] + box["height"]) / 48]
    assert share == pytest.approx(placement.network)
    # The canvas: the picture where it lies, drawn by Python, so that the mirror alone is compared.
    right = to_network(from_array(rgb), placement, (64, 48))
    canvas = np.zeros((48, 64, 4), np.uint8)
    rows = slice(box["top"], box["top"] + box["height"])
    columns = slice(box["left"], box["left"] + box["width"])
    canvas[rows, columns, :3] = right[rows, columns]
    numbers = script(
        "(() => { const out = new Uint8Array(9216); numbersOf(given.rgba.flat(2), "
        "{ width: 64, height: 48 }, given.box, out); return Array.from(out); })()",
        rgba=canvas, box=box)
    np.testing.assert_array_equal(np.array(numbers, np.uint8).reshape(48, 64, 3), right)


def test_the_picture_is_cut_out_of_an_answer_and_scaled(script):
    answer = np.arange(48.0).reshape(6, 8)  # half the input's size
    answer[1, 2] = np.nan
    cut = script("(() => { const map = cut(given.answer.flat(), { width: 8, height: 6 }, "
                 "{ left: 4, top: 2, width: 8, height: 10 }, { width: 16, height: 12 }, 2); "
                 "return [Array.from(map.values), map.width, map.height]; })()", answer=answer)
    expected = 2 * answer[1:6, 2:6]
    expected[0, 0] = 0
    assert cut[1:] == [4, 5] and cut[0] == expected.ravel().tolist()


def test_the_16_bit_file_is_pythons(script):
    depth = room(24, 32)
    depth[0, :3] = 65.534, 65.6, 900.0
    given = script(f"depthPng({MAP}).then(async (blob) => "
                   "Array.from(new Uint8Array(await blob.arrayBuffer())))", depth=depth)
    files = [bytes(given), depth_png(depth)]
    units, right = (np.asarray(Image.open(io.BytesIO(file))) for file in files)
    assert units.dtype == np.uint16
    np.testing.assert_array_equal(units, right)


def test_a_calibration_is_pythons(script):
    answered, measured = [1.0, 2.0, 3.0, 2.5], [1.3, 2.7, 3.8, 5.5]
    fit = fit_scale(answered, measured)
    told = script(
        "toldOf(given.answered.map((answered, index) => ({ answered, measured: "
        "given.measured[index] })), { name: 'n.tflite', sha256: 'abc' }, [480, 640])",
        answered=answered, measured=measured)
    camera = Camera(fit.scale, fit.standard_error, 4, "n.tflite", "abc", (480, 640))
    assert told["text"] == str(camera) and told["points"] == 4
    assert told["disagreeing"] == len(fit.disagreeing()) == 1
    right = camera_json(camera)
    assert tuple(told["file"].pop("size")) == right.pop("size")
    assert told["file"] == pytest.approx(right)
    one = script("toldOf([{ answered: 2, measured: 3 }], { name: 'n', sha256: 'a' })")
    assert one["text"] == str(Camera(1.5, None, 1)) and one["file"]["standard_error"] is None
    assert script("toldOf([], {})") == {"points": 0, "text": ""}


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (1280, 720), (600, 600)])
def test_a_turned_phone_has_pythons_factor(script, size):
    for first in ((640, 480), (480, 640)):
        right = Camera(1.0, size=first).factor(size, None, (640, 480))
        factor = script("turnedBy(given.first, given.size, { width: 640, height: 480 })",
                        first=list(first), size=list(size))
        assert factor == pytest.approx(right)
