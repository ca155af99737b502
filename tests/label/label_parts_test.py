"""mai_depth.label without a network: what is labelled, by whom, and where it is written."""

import json
import os
import types

import numpy as np
import pytest
from PIL import Image

from mai_depth.depth import read_depth
from mai_depth.errors import UserError
from mai_depth.label import frames
from mai_depth.label import labelled_folder
from mai_depth.label.labelled_folder import LabelledFolder
from mai_depth.label.labelled_folder import flat_names
from mai_depth.label.teachers import Teacher
from mai_depth.label.teachers import UselessTeacher
from mai_depth.label.teachers import ask
from mai_depth.label.view import is_view
from mai_depth.label.view import middle

METRIC = {"name": "a.keras", "sha256": "0" * 64, "kind": "metric", "license": None}
RELATIVE = {**METRIC, "name": "b.keras", "kind": "relative"}


def teacher(answer, relative=False):
    """A teacher that answers `answer(red)`, red from 0 to 1."""
    model = types.SimpleNamespace(
        predict_on_batch=lambda batch: answer(batch[..., :1] / 255).astype(np.float32))
    return Teacher("t.keras", "0" * 64, relative, None, model)


def ramp():
    """Red from 0 on the left to 1 on the right."""
    rgb = np.zeros((480, 640, 3), np.uint8)
    rgb[..., 0] = np.linspace(0, 255, 640)
    return rgb


def picture(size=(640, 480), seed=0):
    small = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), np.uint8)
    return Image.fromarray(small).resize(size)


def test_the_mirrored_answer_is_mirrored_back():
    """This teacher adds what column it is in: 1 m on the left and 4 m on the right of any view."""
    columns = np.where(np.arange(640) < 320, 1.0, 4.0)[None, None, :, None]
    depth, _ = ask([teacher(lambda red: 0 * red + columns)], ramp())
    np.testing.assert_allclose(depth, 2.0, rtol=1e-6)


def test_every_teacher_counts_the_same():
    near, far = teacher(lambda red: 1 + red), teacher(lambda red: 4 + 4 * red)
    red = ramp()[..., 0] / 255
    np.testing.assert_allclose(ask([near, far], ramp())[0], 2 * (1 + red), rtol=1e-5)


def test_a_relative_teacher_is_fitted_to_the_metric_one():
    metric = teacher(lambda red: 1 / (0.1 + red))
    relative = teacher(lambda red: 7 * red + 50, relative=True)
    depth, contradicting = ask([metric, relative], ramp())
    np.testing.assert_allclose(depth, 1 / (0.1 + ramp()[..., 0] / 255), rtol=1e-3)
    assert not contradicting
    upside_down = teacher(lambda red: 50 - red, relative=True)
    depth, contradicting = ask([metric, upside_down], ramp())
    np.testing.assert_allclose(depth, 1 / (0.1 + ramp()[..., 0] / 255), rtol=1e-5)
    assert contradicting == ["t.keras"]


def test_relative_teachers_alone_give_inverse_depth():
    answer, _ = ask([teacher(lambda red: 7 * red + 50, relative=True)], ramp())
    np.testing.assert_allclose(answer, ramp()[..., 0] / 255, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_a_teacher_that_answers_no_depth_ends_it(value):
    with pytest.raises(UselessTeacher, match=r"t.keras: this teacher answers .* not a depth map"):
        ask([teacher(lambda red: 0 * red + value)], ramp())


def test_frames_that_show_the_same_are_left_out():
    wide = np.asarray(picture((1280, 480)))
    noise = np.random.default_rng(1).normal(0, 8, (480, 640, 3))
    still = [np.clip(wide[:, :640] + noise + light, 0, 255).astype(np.uint8) for light in (0, 9, 0)]
    pan = [wide[:, left : left + 640] for left in range(0, 641, 64)]
    assert [number for number, _ in frames.thinned([*still, *still])] == [0]
    taken = [number for number, _ in frames.thinned([*still, *pan])]
    assert taken[0] == 0 and len(taken) > 3
    assert [number for number, _ in frames.thinned([*still, *pan], 0.0)] == list(range(14))


def test_difference_golden():
    """+6 +6 +6 -2: 4 brighter on average, and 2, 2, 2, 6 beside that."""
    one, other = np.zeros((2, 2), np.float32), np.array([[6, 6], [6, -2]], np.float32)
    assert frames.difference(one, other) == 3.0


@pytest.mark.parametrize(("size", "expected"), [
    ((640, 480), (640, 480)), ((448, 336), (448, 336)), ((4000, 3000), (640, 480)),
    ((300, 400), (300, 225)), ((900, 200), (264, 198)), ((641, 480), (640, 480)),
    ((2000, 900), (640, 480)), ((64, 48), (64, 48))])
def test_the_view_is_the_middle_of_4_to_3(size, expected):
    image = Image.new("RGB", size, "red")
    width, height = size
    side = min(width * 3, height * 4)
    inside = (side // 3 - 2, side // 4 - 2)
    image.paste("blue", ((width - inside[0]) // 2, (height - inside[1]) // 2,
                         (width + inside[0]) // 2, (height + inside[1]) // 2))
    view = middle(image)
    assert view.size == expected and view.width * 3 == view.height * 4
    assert np.asarray(view)[5:-5, 5:-5, 2].min() == 255


def test_a_picture_without_room_for_a_view_is_refused():
    with pytest.raises(UserError, match="400x40 is too small"):
        middle(Image.new("RGB", (400, 40)))


def test_what_the_training_reads_as_it_is(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = picture((320, 240))
    image.save(tmp_path / "good.jpg")
    image.convert("L").save(tmp_path / "good.png")
    image.save(tmp_path / "turned.jpg", exif=exif)
    image.convert("RGBA").save(tmp_path / "alpha.png")
    image.save(tmp_path / "other.webp")
    image.resize((320, 200)).save(tmp_path / "wide.png")
    image.resize((1280, 960)).save(tmp_path / "large.png")
    Image.fromarray(np.zeros((240, 320), np.uint16)).save(tmp_path / "deep.png")
    assert {path.name for path in tmp_path.iterdir() if is_view(path)} == {"good.jpg", "good.png"}


def test_names_for_one_folder():
    paths = [labelled_folder.pathlib.PurePath(name) for name in ("a", "b/a", "b/.c", ".d")]
    assert flat_names(paths) == ["a", "b__a", "b__.c", "d"]
    with pytest.raises(UserError, match="b__a and b/a would both be called b__a; rename one"):
        flat_names([labelled_folder.pathlib.PurePath(name) for name in ("b/a", "b__a")])


def test_a_pair_is_linked_or_copied_and_its_depth_is_what_was_said(tmp_path):
    photo = tmp_path / "photo.jpeg"
    picture((320, 240)).save(photo)
    folder = LabelledFolder(tmp_path, "photos", [METRIC])
    depth = np.linspace(0.5, 80.0, 320 * 240, dtype=np.float32).reshape(240, 320)
    assert not folder.has("a")
    folder.add("a", picture((320, 240)), depth, photo)
    folder.add("b", picture((320, 240)), depth)
    assert folder.has("a") and folder.has("b")
    assert os.path.samefile(tmp_path / "train" / "rgb" / "a.jpg", photo)
    for name in ("a", "b"):
        read = read_depth(tmp_path / "train" / "depth" / f"{name}.png")
        np.testing.assert_allclose(read, np.minimum(depth, 65.534), atol=6e-4)
    assert [[path.name for path in pair] for pair in folder.pairs()] == [
        ["a.jpg", "a.png"], ["b.jpg", "b.png"]]


def test_inverse_depth_is_never_missing(tmp_path):
    folder = LabelledFolder(tmp_path, "photos", [RELATIVE])
    folder.add("a", picture((64, 48)), np.linspace(0, 1, 64 * 48, dtype=np.float32).reshape(48, 64))
    codes = np.asarray(Image.open(tmp_path / "train" / "inverse_depth" / "a.png"))
    assert (codes.min(), codes.max()) == (1000, 65000)
    assert json.loads((tmp_path / "labels.json").read_text())["kind"] == "inverse depth"


def test_a_folder_of_other_labels_is_refused(tmp_path):
    LabelledFolder(tmp_path, "photos", [METRIC]).finish(skipped=2)
    labels = json.loads((tmp_path / "labels.json").read_text())
    assert labels["pictures"] == 0 and labels["skipped"] == 2
    (tmp_path / "labels.json").write_text(json.dumps({**labels, "date": "2026-01-02"}))
    LabelledFolder(tmp_path, "photos", [METRIC])
    assert json.loads((tmp_path / "labels.json").read_text())["date"] == "2026-01-02"
    with pytest.raises(UserError, match="was labelled with --input photos, not others; give the"):
        LabelledFolder(tmp_path, "others", [METRIC])
    with pytest.raises(UserError, match=r"teachers a.keras \(00000000\), not b.keras \(0000"):
        LabelledFolder(tmp_path, "photos", [RELATIVE])
    (tmp_path / "labels.json").write_text("[")
    with pytest.raises(UserError, match=r"labels.json: broken .*; give another --output"):
        LabelledFolder(tmp_path, "photos", [METRIC])
    (tmp_path / "labels.json").unlink()
    with pytest.raises(UserError, match=r"has a folder train, but no labels.json of this command"):
        LabelledFolder(tmp_path, "photos", [METRIC])


def test_what_is_told_of_the_pictures_stays(tmp_path):
    told = {"license": "CC BY 4.0", "origin": "https://example.org"}
    LabelledFolder(tmp_path, "photos", [METRIC], told)
    LabelledFolder(tmp_path, "photos", [METRIC]).finish(0)  # goes on without the flags
    labels = json.loads((tmp_path / "labels.json").read_text())
    assert told.items() <= labels.items() and labels["pictures"] == 0
