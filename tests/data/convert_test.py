"""Folders of other cameras: what is found in them, and that every depth arrives as it was."""

import itertools
import json
import pathlib

import camera_layouts
import numpy as np
import pytest
from camera_layouts import COUNT
from camera_layouts import LAYOUTS
from camera_layouts import make
from conftest import REPOSITORY
from PIL import Image

from mai_depth.data.convert import pairing
from mai_depth.data.convert import summary
from mai_depth.data.convert.conversion import Options
from mai_depth.data.convert.conversion import convert
from mai_depth.data.convert.formats import FORMATS
from mai_depth.data.convert.sequence import Frame
from mai_depth.data.convert.sequence import Intrinsics
from mai_depth.data.convert.sequence import Sequence
from mai_depth.data.convert.split import plan
from mai_depth.data.convert.timestamps import associate
from mai_depth.data.convert.tree import natural
from mai_depth.data.convert.view import view_of
from mai_depth.data.folder import list_pairs
from mai_depth.data.samples import check_pair
from mai_depth.data.samples import decode_pair
from mai_depth.depth import read_depth_units
from mai_depth.errors import UserError

STEPS_MM = [250 * (step + 1) for step in range(16)]
MIDDLES = slice(20, 640, 40)  # of the 16 columns of the scene, at 640x480
FOCAL_LENGTHS = {
    "tum": 517.3 / 640,
    "icl_nuim": 481.2 / 640,
    "stray_scanner": 400 / 480,
    "record3d": 400 / 480,
    "scannet": 1170 / 1288,
    "seven_scenes": 585 / 640,
    "kitti": 721.5377 / 500,
    "diode": 886.81 / 1024,
    "wide": 60 / 64,
}
PAIRS = {  # layout -> for training and for validation, where it is not 4 and 1 of six
    "scannet": (9, 2), "seven_scenes": (9, 2), "nested": (15, 2), "diode": (6, 6),
    **{name: (6, 6) for name in LAYOUTS if name.startswith("challenge")},
}


def converted(folder, name, **options):
    """Makes and converts a layout: what was said, and `dataset.json`."""
    lines = []
    convert(make(name, folder / "in"), folder / "out", Options(**options), lines.append)
    return lines, json.loads((folder / "out" / "dataset.json").read_text())


def decoded(split_dir):
    """Reads a split as training does."""
    for pair in list_pairs(split_dir):
        check_pair(pair, allow_resize=False)
        yield decode_pair(pair)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_recognised_and_every_depth_arrives(tmp_path, name):
    _, record = converted(tmp_path, name)
    assert record["format"] == LAYOUTS[name][0]
    assert (record["kind"], record["unit"]) == ("metric", "mm")
    counts = PAIRS.get(name, (4, 1))
    assert record["pairs"] == dict(zip(("train", "validation"), counts, strict=True))
    assert record["focal_length"] == (
        pytest.approx(FOCAL_LENGTHS[name], abs=1e-4) if name in FOCAL_LENGTHS else None)
    assert (tmp_path / "out" / "sheet.png").is_file()
    for split, count in zip(("train", "validation"), counts, strict=True):
        samples = list(decoded(tmp_path / "out" / split))
        assert len(samples) == count
        for sample in samples if name != "kitti" else ():
            assert sample.depth[300, MIDDLES].tolist() == STEPS_MM
            assert sample.depth[20, MIDDLES].tolist() == [0] * 5 + STEPS_MM[5:]
            grays = sample.rgb[300, MIDDLES, 0].astype(int)
            assert np.abs(grays - (np.arange(16) * 12 + 40)).max() <= 3


def test_pictures_stay_with_their_depth(tmp_path):
    """Each number has its own blue, and in this folder its own depth."""
    for number in range(COUNT):
        camera_layouts.save(tmp_path / "in/rgb" / f"{number}.png", camera_layouts.photo(number))
        camera_layouts.save(tmp_path / "in/depth" / f"{number}.npy",
                            np.full((48, 64), number + 1, np.float32))
    convert(tmp_path / "in", tmp_path / "out", Options(validation_share=0))
    found = [(int(sample.rgb[0, 0, 2]), int(sample.depth[0, 0]))
             for sample in decoded(tmp_path / "out/train")]
    assert found == [(20 * number, 1000 * (number + 1)) for number in range(COUNT)]


def test_sparse_depth_of_kitti_keeps_every_point(tmp_path):
    _, record = converted(tmp_path, "kitti")
    depth = read_depth_units(next((tmp_path / "out/train/depth").iterdir()))
    rows, columns = np.nonzero(depth)
    assert depth.shape == (375, 500) and set(depth[rows, columns]) == {20500}
    assert set(rows) == set(range(0, 375, 5))
    assert set(columns) == set(range(4, 500, 5))  # 371 columns are cut off on the left
    assert record["missing_share"] == pytest.approx(1 - 75 * 100 / (375 * 500), abs=1e-4)
    with Image.open(tmp_path / "out/sheet.png") as sheet:
        tile = np.asarray(sheet.crop((200, 16, 400, 166)))
    assert (tile.any(axis=-1)).sum() == 75 * 100  # and no point is lost where it is drawn


def test_only_high_confidence_is_kept(tmp_path):
    lines, _ = converted(tmp_path, "stray_scanner")
    depth = next(decoded(tmp_path / "out/train")).depth
    assert depth[399].all() and not depth[400:].any()
    assert any("less than high confidence counts as missing" in line for line in lines)


def test_arkit_scenes_are_found_by_their_folders(tmp_path):
    place = tmp_path / "in/Training/47331606/47331606_frames"
    for number in range(COUNT):
        name = f"47331606_{100 + number}.017"
        camera_layouts.save(place / "lowres_wide" / f"{name}.png", camera_layouts.photo(number))
        camera_layouts.save(place / "lowres_depth" / f"{name}.png", camera_layouts.depth_mm())
        camera_layouts.save(place / "confidence" / f"{name}.png",
                            np.full((48, 64), 1 if number else 2, np.uint8))
        camera_layouts.write(place / "lowres_wide_intrinsics" / f"{name}.pincam",
                             "64 48 53.0 53.1 32.1 24.2")
    record = convert(tmp_path / "in", tmp_path / "out", Options(validation_share=0))
    assert record["format"] == "arkit_scenes"
    assert record["focal_length"] == pytest.approx(53 / 64, abs=1e-4)
    assert record["pairs"]["train"] == 1  # of the others nothing is sure
    assert all(line.endswith("no pixel has depth") for line in record["left_out"])


def test_polycam_is_found_by_its_folders(tmp_path):
    place = tmp_path / "in/kitchen/keyframes"
    confidence = np.full((48, 64), 255, np.uint8)
    confidence[-8:] = [0] * 32 + [127] * 32
    for stamp in range(638443502, 638443502 + COUNT):
        for images in ("images", "corrected_images"):
            camera_layouts.save(place / images / f"{stamp}.jpg", camera_layouts.photo(0, 1024, 768))
        for cameras in ("cameras", "corrected_cameras"):
            camera_layouts.write(place / cameras / f"{stamp}.json",
                                 json.dumps({"fx": 752.5, "cx": 511.0, "width": 1024}))
        camera_layouts.save(place / "depth" / f"{stamp}.png", camera_layouts.depth_mm())
        camera_layouts.save(place / "confidence" / f"{stamp}.png", confidence)
    record = convert(tmp_path / "in", tmp_path / "out", Options(validation_share=0))
    assert record["format"] == "polycam" and record["pairs"]["train"] == COUNT
    assert record["focal_length"] == pytest.approx(752.5 / 1024, abs=1e-4)
    assert (tmp_path / "out/train/rgb/kitchen-638443502.jpg").is_file()
    inside = convert(place, tmp_path / "inside", Options(validation_share=0))
    assert inside["format"] == "polycam" and inside["pairs"] == record["pairs"]
    place.rename(place.with_name("dtu"))  # another layout with cameras, of a format of their own
    other = convert(tmp_path / "in", tmp_path / "other", Options(validation_share=0))
    assert other["format"] == "png" and other["pairs"] == record["pairs"]
    for sample in decoded(tmp_path / "out/train"):
        assert sample.depth[300, MIDDLES].tolist() == STEPS_MM
        assert not sample.depth[400:].any()


def test_the_selection_of_kitti_has_its_own_names(tmp_path):
    place = tmp_path / "in/val_selection_cropped"
    for drive in ("2011_09_26_drive_0002_sync", "2011_09_26_drive_0013_sync"):
        picture = f"{drive}_image_0000000005_image_02"
        camera_layouts.save(place / "image" / f"{picture}.png", camera_layouts.photo(0, 1216, 352))
        camera_layouts.save(
            place / "groundtruth_depth" / f"{drive}_groundtruth_depth_0000000005_image_02.png",
            np.full((352, 1216), 2560, np.uint16))
        camera_layouts.write(place / "intrinsics" / f"{picture}.txt",
                             "721.5 0.0 596.5 0.0 721.5 149.8 0.0 0.0 1.0")
    record = convert(tmp_path / "in", tmp_path / "out", Options(validation_share=0))
    assert record["format"] == "kitti" and record["pairs"]["train"] == 2
    assert record["focal_length"] == pytest.approx(721.5 / 468, abs=1e-4)
    assert all((sample.depth == 10000).all() for sample in decoded(tmp_path / "out/train"))


def test_frames_of_a_phone_video_are_paired_by_number(tmp_path):
    cv2 = pytest.importorskip("cv2")
    make("stray_scanner", tmp_path / "in")
    place = tmp_path / "in" / "71de12f9"
    writer = cv2.VideoWriter(
        str(place / "rgb.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 30.0, (480, 360))
    for number, path in enumerate(sorted((place / "rgb").iterdir())):
        if number < COUNT - 1:  # the video is one frame short
            writer.write(np.asarray(Image.open(path))[..., ::-1].copy())
        path.unlink()
    writer.release()
    lines = []
    record = convert(tmp_path / "in", tmp_path / "out", Options(validation_share=0), lines.append)
    assert record["left_out"] == ["71de12f9-000005: beyond the end of the video"]
    assert record["focal_length"] == pytest.approx(400 / 480, abs=1e-4)
    blues = [int(np.median(sample.rgb[..., 2])) for sample in decoded(tmp_path / "out/train")]
    assert np.abs(np.array(blues) - [0, 20, 40, 60, 80]).max() <= 6


def test_names_of_nested_folders_are_unique_and_splits_are_not_in_them(tmp_path):
    converted(tmp_path, "nested")
    names = sorted(path.stem for path in (tmp_path / "out/train/rgb").iterdir())
    assert names[0] == "home-kitchen-000" and "home-office-evening-000" in names
    camera_layouts.save(tmp_path / "b/a-b/rgb/1.png", camera_layouts.photo())
    camera_layouts.save(tmp_path / "b/a-b/depth/1.png", camera_layouts.depth_mm())
    camera_layouts.save(tmp_path / "b/a/b/rgb/1.png", camera_layouts.photo())
    camera_layouts.save(tmp_path / "b/a/b/depth/1.png", camera_layouts.depth_mm())
    convert(tmp_path / "b", tmp_path / "b_out", Options(validation_share=0))
    assert sorted(path.stem for path in (tmp_path / "b_out/train/rgb").iterdir()) == [
        "a-b-1", "a-b-1-2"]


def test_a_phone_s_tag_is_followed_where_depth_lies_otherwise(tmp_path):
    """The pixels lie as the sensor has read them, the tag says to turn them clockwise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, depth in (("as_sensor", camera_layouts.depth_mm()),
                        ("upright", np.rot90(camera_layouts.depth_mm(), -1))):
        camera_layouts.save(tmp_path / f"in/depth/{name}.png", depth)
        path = tmp_path / f"in/rgb/{name}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(camera_layouts.photo()).save(path, exif=exif, quality=95)
    convert(tmp_path / "in", tmp_path / "out", Options(validation_share=0))
    for sample in decoded(tmp_path / "out/train"):
        assert sample.depth[300, MIDDLES].tolist() == STEPS_MM
        assert sample.rgb[300, 600, 0] > sample.rgb[300, 20, 0] + 100


def test_depth_beyond_16_bits_is_missing_and_said(tmp_path):
    depth = np.full((48, 64), 20.0, np.float32)
    depth[:12] = 300.0
    camera_layouts.save(tmp_path / "in/rgb/1.png", camera_layouts.photo())
    camera_layouts.save(tmp_path / "in/depth/1.npy", depth)
    lines = []
    record = convert(tmp_path / "in", tmp_path / "out", Options(validation_share=0), lines.append)
    assert any("768 pixels are deeper than 65.534 m" in line for line in lines)
    assert record["missing_share"] == 0.25 and record["max_depth_m"] == 20.0


def test_the_user_may_know_better(tmp_path):
    _, record = converted(tmp_path, "npz", depth_units_per_m=500.0, focal_length=0.9, every=2)
    assert record["focal_length"] == 0.9
    assert record["pairs"] == {"train": 1, "validation": 1}  # 0 and 4; 2 lies between
    sample = next(decoded(tmp_path / "out/train"))
    assert sample.depth[300, MIDDLES].tolist() == [2 * step for step in STEPS_MM]


def test_converting_again_keeps_depth_and_focal_length(tmp_path):
    converted(tmp_path, "wide")
    record = convert(tmp_path / "out", tmp_path / "again", Options())
    assert record["focal_length"] == pytest.approx(60 / 64, abs=1e-4)
    for first, second in zip(decoded(tmp_path / "out/train"), decoded(tmp_path / "again/train"),
                             strict=True):
        assert (first.depth == second.depth).all() and (first.rgb == second.rgb).all()


def test_a_jpeg_that_stays_as_it_is_keeps_its_bytes(tmp_path):
    converted(tmp_path, "challenge_jpeg")
    for path in (tmp_path / "in/train/rgb").iterdir():
        assert (tmp_path / "out/train/rgb" / path.name).read_bytes() == path.read_bytes()


def test_files_may_be_called_and_stored_as_cameras_do(tmp_path):
    for index in range(40):
        suffix = (".jpg", ".webp", ".bmp")[index % 3]
        for kind, name in (("rgb", f"IMG_{index:04d}{suffix}"), ("depth", f"IMG_{index:04d}.png")):
            path = tmp_path / "in" / kind / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = (np.full((48, 64, 3), index, np.uint8) if kind == "rgb"
                      else np.full((48, 64), 1000 + index, np.uint16))
            Image.fromarray(pixels).save(path)
    convert(tmp_path / "in", tmp_path / "out", Options(), lambda line: None)
    pairs = [pair for split in ("train", "validation") for pair in list_pairs(
        tmp_path / "out" / split)]
    assert len(pairs) > 30  # less the gap between the splits
    for pair in pairs:
        red = np.asarray(Image.open(pair.rgb.path))[24, 32, 0]
        assert abs(int(red) + 1000 - int(read_depth_units(pair.depth.path)[24, 32])) <= 3


def test_two_layouts_in_one_folder_are_told(tmp_path):
    camera_layouts.tiff(tmp_path / "in" / "robot")
    lines, record = converted(tmp_path, "tum")
    assert record["format"] == "tum"
    assert any("left out: 6 pairs in the layout of TIFF; convert them with --format=tiff" in line
               for line in lines)


# The parts


def test_names_are_as_in_the_docs():
    page = (REPOSITORY / "docs/own_data.md").read_text()
    for layout in FORMATS:
        assert f"| `{layout.name}` |" in page


@pytest.mark.parametrize("path, kind, sequence, name", [
    ("rgb/0001.jpg", "picture", "", "0001"),
    ("train/depth/0001.png", "depth", "train", "0001"),
    ("a/color/7.jpg", "picture", "a", "7"),
    ("frame-000001.color.png", "picture", "", "frame-000001"),
    ("frame-000001.depth.png", "depth", "", "frame-000001"),
    ("desk_Depth_12.png", "depth", "", "desk_12"),
    ("color0012.png", "picture", "", "0012"),
    ("aligned_depth_to_color/12.png", "depth", "", "12"),
    ("x/00_indoors_depth.npy", "depth", "x", "00_indoors"),
    ("x/00_indoors_depth_mask.npy", "other", "x", "00_indoors_depth"),
    ("x/00_indoors.png", "picture", "x", "00_indoors"),
    ("0001/rgb.png", "picture", "", "0001"),
    ("0001/depth.npy", "depth", "", "0001"),
    ("scene.exr", "depth", "", "scene"),
    ("confidence/1.png", "other", "", "1"),
    ("rgb/discolored.png", "picture", "", "discolored"),
    ("rgb/IMG_0001.jpg", "picture", "", "0001"),
    ("depth/IMG_0001.png", "depth", "", "0001"),
    ("images/photo-7.webp", "picture", "", "7"),
    ("depths/photo-7.png", "depth", "", "7"),
    ("images/7_depth.png", "depth", "", "7"),
    ("notes.txt", "other", "", "notes"),
])
def test_names_say_what_a_file_is(path, kind, sequence, name):
    role = pairing.read_role(pathlib.PurePath(path))
    assert role == (kind, sequence, name)


def test_time_stamps_are_paired_the_nearest_first_and_once():
    pictures, depths = [0.0, 1.0, 2.0, 3.0], [0.015, 0.99, 1.005, 2.5, 3.02]
    assert associate(pictures, depths, 0.02) == [(0, 0), (1, 2), (3, 4)]
    assert associate([0.0, 0.01], [0.012], 0.02) == [(1, 0)]


def test_numbers_are_ordered_as_numbers():
    names = ["10.jpg", "9.jpg", "a2b10", "a2b9", "1.jpg"]
    assert sorted(names, key=natural) == ["1.jpg", "9.jpg", "10.jpg", "a2b9", "a2b10"]


@pytest.mark.parametrize("size, is_turned, box, result", [
    ((640, 480), False, (0, 0, 640, 480), (640, 480)),
    ((1920, 1440), False, (0, 0, 1920, 1440), (640, 480)),
    ((1296, 968), False, (4, 1, 1292, 967), (640, 480)),
    ((1280, 720), False, (160, 0, 1120, 720), (640, 480)),
    ((320, 320), False, (0, 40, 320, 280), (320, 240)),
    ((480, 640), True, (0, 0, 640, 480), (640, 480)),
    ((720, 1280), True, (160, 0, 1120, 720), (640, 480)),
])
def test_the_middle_of_4_to_3_is_kept(size, is_turned, box, result):
    view = view_of(size, size)
    assert view[:2] == (is_turned, box) and view.size == result
    assert view.focal_length(500.0) == pytest.approx(500.0 / (box[2] - box[0]))


def test_views_of_every_size_are_4_to_3_and_inside():
    random = np.random.default_rng(0)
    for width, height in random.integers(64, 3000, (200, 2)).tolist():
        view = view_of((width, height), (width, height))
        left, top, right, bottom = view.box
        assert 0 <= left < right <= view.full[0] and 0 <= top < bottom <= view.full[1]
        assert (right - left) * 3 == (bottom - top) * 4 and view.size[0] * 3 == view.size[1] * 4
        assert view.size[0] <= 640
        # Depth that holds its own column is read from under the middle of each pixel.
        columns = np.broadcast_to(np.arange(width)[None], (height, width))
        if not view.is_turned:
            found = view.crop_depth(columns)[0]
            middles = left + (np.arange(len(found)) + 0.5) * (right - left) / len(found)
            assert np.abs(found + 0.5 - middles).max() <= 0.5


def test_a_turned_picture_and_its_depth_stay_together():
    rgb = camera_layouts.photo(0, 48, 64)
    view = view_of((48, 64), (48, 64))
    turned = np.asarray(view.crop_picture(Image.fromarray(rgb)))
    depth = view.crop_depth(rgb[..., 0].astype(np.float32))
    assert (turned[..., 0] == depth).all()
    assert (turned[-1, :, 0] == rgb[:, 0, 0]).all()  # the left edge becomes the lower one


def test_a_focal_length_holds_for_pictures_that_were_scaled_since():
    assert Intrinsics(1170, 2 * 647.75, is_exact=False).in_widths(1296) == 1170 / 1296
    assert Intrinsics(1170, 2 * 647.75, is_exact=False).in_widths(640) == 1170 / 1295.5
    assert Intrinsics(517.3, 640).in_widths(320) == 517.3 / 640


def recordings(*counts):
    return [Sequence(f"s{index}", tuple(
        Frame(f"{number:04}", number, pathlib.Path("d")) for number in range(count)))
        for index, count in enumerate(counts)]


@pytest.mark.parametrize("counts, share, validation, gap", [
    ((100,), 0.1, {0: 10}, 1),
    ((100, 100, 100, 100, 100), 0.2, {4: 100}, 0),  # a whole sequence
    ((50, 10, 40), 0.1, {1: 10}, 0),  # the last is too long, the one before fits
    ((100, 100), 0.1, {1: 20}, 2),  # none fits
    ((30, 30, 30), 0.0, {}, 0),
    ((4,), 0.1, {0: 1}, 1),
])
def test_neighbours_are_never_on_both_sides(counts, share, validation, gap):
    chosen = plan(recordings(*counts), share, 1)
    assert chosen.gap == gap and len(chosen.tasks) == sum(counts) - gap
    found = {}
    for index, group in itertools.groupby(chosen.tasks, key=lambda task: task.sequence):
        group = list(group)
        last = {split: [int(task.frame.picture) for task in group if task.split == split]
                for split in ("train", "validation")}
        if last["validation"]:
            found[index] = len(last["validation"])
            assert not last["train"] or min(last["validation"]) - max(last["train"]) == gap + 1
    assert found == validation
    assert len({task.name for task in chosen.tasks}) == len(chosen.tasks)


def test_nothing_for_training_is_refused():
    with pytest.raises(UserError, match=r"--validation_share=0.9 of 1 pairs leaves none"):
        plan(recordings(1), 0.9, 1)


def test_depth_is_counted():
    counts = np.zeros(summary.MILLIMETRES, np.int64)
    counts[[0, 1000, 2000, 9000]] = 500, 600, 399, 1
    assert [summary.depth_at(counts, share) for share in (0.5, 0.9, 1)] == [1.0, 2.0, 9.0]
    assert summary.max_depth_m(counts) == 2.0
    assert summary.histogram(counts).splitlines() == [
        "depth in metres, share of what was measured",
        "   1.0 to   1.2  60.0 % ##################################################",
        "   1.2 to   1.4   0.0 %",
        "   1.4 to   1.6   0.0 %",
        "   1.6 to   1.8   0.0 %",
        "   1.8 to   2.0   0.0 %",
        "   2.0 to   2.2  39.9 % #################################",
        "  beyond         0.1 %",
    ]
    assert summary.histogram(np.zeros_like(counts)) == "no depth was measured"


def test_what_is_told_of_the_pictures_is_written(tmp_path):
    _, record = converted(tmp_path, "seven_scenes", license="CC0", origin="a friend")
    assert (record["license"], record["origin"]) == ("CC0", "a friend")
