"""Tests of the default data set: exact geometry, repeatability, the files on disk."""

import json

import numpy as np
import pytest
from PIL import Image

from mai_depth.data import synthetic
from mai_depth.data.scenes import sensor
from mai_depth.data.scenes import textures
from mai_depth.data.scenes.build import Group
from mai_depth.data.scenes.build import paint
from mai_depth.data.scenes.raycast import Camera
from mai_depth.data.scenes.raycast import trace
from mai_depth.data.scenes.rooms import room
from mai_depth.data.scenes.scene import Light
from mai_depth.data.scenes.scene import Scene
from mai_depth.data.scenes.shading import render
from mai_depth.data.scenes.solids import rotation
from mai_depth.data.scenes.streets import street
from mai_depth.depth import read_depth
from mai_depth.errors import UserError

GRAY = paint(textures.plain, color=textures.linear(128, 128, 128), mottle=0.0)
SIZE = (48, 64)


def camera(**settings) -> Camera:
    return Camera((0, 0, 0), size=SIZE, fov=np.pi / 2, **settings)


def solids_of(build) -> list:
    solids = []
    build(Group(solids))
    return solids


def test_a_wall_at_3_m_is_3_m_everywhere():
    solids = solids_of(lambda group: group.box((0, -50, 4), (100, 100, 2), GRAY))
    depth, number = trace(solids, camera())
    np.testing.assert_allclose(depth, 3.0, rtol=1e-6)
    assert (number == 0).all()


def test_depth_is_along_the_axis_not_along_the_ray():
    # The axis of a camera that looks down by 45 degrees meets the floor 1 m below at sqrt(2) m.
    # Fields of view of 90 degrees: focal length 32 px, so row v has y = (23.5 - v) / 32, and
    # z = 1 / (sin 45 - y cos 45) wherever the floor is seen.
    solids = solids_of(lambda group: group.box((0, -2, 0), (99, 1, 99), GRAY))
    depth, _ = trace(solids, camera(pitch=-np.pi / 4))
    y = (23.5 - np.arange(48)) / 32
    expected = np.sqrt(2) / (1 - y)
    np.testing.assert_allclose(depth, np.repeat(expected[:, None], 64, 1), rtol=1e-5)


@pytest.mark.parametrize("yaw", [0.0, 0.7])
def test_sphere_and_upright_cylinder_at_the_axis(yaw):
    size = (47, 63)  # odd: the middle pixel looks along the axis
    lens = Camera((0, 0, 0), yaw=yaw, size=size, fov=1.0)
    ahead = rotation(yaw) @ (0, 0, 5)
    sphere = solids_of(lambda group: group.ellipsoid((*ahead[:1], -1, ahead[2]), (2, 2, 2), GRAY))
    assert trace(sphere, lens)[0][23, 31] == pytest.approx(4.0, rel=1e-6)
    pole = solids_of(lambda group: group.round((ahead[0], -2, ahead[2]), 4, 0.5, 0.5, GRAY))
    assert trace(pole, lens)[0][23, 31] == pytest.approx(4.5, rel=1e-6)


def test_frustum_seen_from_above_along_its_axis():
    # Steeper than its own side, where the quadratic changes its sign.
    lens = Camera((0, 5, 0), pitch=-np.pi / 2, size=(47, 63), fov=1.0)
    cone = solids_of(lambda group: group.round((0, 0, 0), 2, 1.0, 0.3, GRAY))
    depth, _ = trace(cone, lens)
    assert depth[23, 31] == pytest.approx(3.0, rel=1e-5)  # the top
    # Beside the top a ray of slope x meets the side where x z = 0.3 + 0.35 (z - 3).
    x = 8 / lens.focal
    assert depth[23, 39] == pytest.approx((0.35 * 3 - 0.3) / (0.35 - x), rel=1e-4)


def test_rays_meet_the_surface_they_are_said_to_meet():
    solids = solids_of(
        lambda group: (
            group.inner((0.3, -0.4, 3), 0.5).box((0, 0, 0), (1, 0.8, 0.7), GRAY),
            group.ellipsoid((-1, 0, 4), (1.2, 0.7, 0.9), GRAY),
            group.round((1.2, -1, 4), 1.5, 0.4, 0.2, GRAY),
            group.inner((0, 0.5, 6), 0.4).rod((0, 0, 0), 3.0, 0.2, GRAY),
        )
    )
    lens = Camera((0, 0.2, 0), 0.05, -0.05, 0.1, 1.2, (120, 160))
    depth, number = trace(solids, lens)
    rays = lens.rays()
    for i, solid in enumerate(solids):
        mine = number == i
        assert mine.sum() > 40
        points = np.reshape(lens.position, (3, 1)) + rays[:, mine] * depth[mine]
        local = solid.local(np.float32(points))
        assert (np.abs(local) <= np.reshape(solid.half, (3, 1)) + 1e-5).all()
        _, normal, _, _ = solid.surface(local)
        np.testing.assert_allclose(np.sum(normal**2, axis=0), 1, rtol=1e-5)
        # Outside just above the surface, inside just below it.
        toward = local + 1e-3 * normal
        enter, leave = solid.span(np.float32(toward), np.float32(-normal))
        assert ((enter < leave) & (np.abs(enter - 1e-3) < 2e-4)).mean() > 0.97


def test_nearer_bodies_hide_farther_ones_whatever_their_order():
    def build(group):
        group.box((0, -5, 6), (20, 20, 1), GRAY)
        group.box((0.2, -0.5, 2.5), (1, 1, 1), GRAY)

    first = trace(solids_of(build), camera())
    second = trace(solids_of(build)[::-1], camera())
    np.testing.assert_array_equal(first[0], second[0])
    assert first[0].min() == pytest.approx(2.0)
    np.testing.assert_array_equal(first[1], 1 - second[1])


def test_cuts_take_a_corner_off_a_box():
    cut = (((0.0, 0.0, -1.0), 0.25),)  # keeps z >= -0.25 of a box that begins at -0.5
    solids = solids_of(lambda group: group.box((0, -5, 3), (9, 9, 1), GRAY, cuts=cut))
    np.testing.assert_allclose(trace(solids, camera())[0], 2.75, rtol=1e-6)


def test_textures_lie_in_the_world_and_shrink_with_distance():
    """Stripes of 0.5 m on a wall are 0.5 * focal / depth pixels wide at every depth."""
    black, white = textures.linear(0, 0, 0), textures.linear(255, 255, 255)
    stripes = paint(textures.wallpaper, color=black, second=white, width=0.5)
    edges = []
    for distance in (4.0, 8.0):
        scene = Scene(
            solids_of(lambda g, z=distance: g.box((0, -20, z + 0.5), (64, 40, 1), stripes)),
            [],
            Camera((0.13, 0, 0), size=(9, 640), fov=np.pi / 2),
            (1.0, 1.0, 1.0),
            (1.0, 1.0, 1.0),
        )
        bright = render(scene)[0][0, 4] > 0.5
        edges.append(np.count_nonzero(bright[1:] != bright[:-1]))
    assert edges == [16, 32]  # 8 m and 16 m of wall in the view, an edge every 0.5 m


def test_fine_texture_fades_to_its_mean_when_pixels_are_larger_than_it():
    u = np.linspace(0, 10, 4001, dtype=np.float32)
    pixel = np.full_like(u, 0.9)
    assert textures.line(u, 0.2, 0.05, pixel) == pytest.approx(0.25, abs=0.01)
    assert textures.line(u, 0.2, 0.05, 0 * u + 1e-3).mean() == pytest.approx(0.25, abs=0.01)
    assert textures.noise(u, 0 * u, 0 * u + 5.0, 1.0).std() < 0.35


def test_a_body_under_a_lamp_throws_a_shadow():
    def build(group):
        group.box((0, -1, 0), (40, 1, 40), GRAY)
        group.box((0, 1, 4), (1, 0.1, 1), GRAY)

    lens = Camera((0, 2.5, 0), pitch=-0.5, size=(120, 160), fov=1.2)
    lamp = Light((0, 3, 4), (4.0, 4.0, 4.0))
    scene = Scene(solids_of(build), [lamp], lens, (0.1,) * 3, (0.1,) * 3)
    color, depth, _ = render(scene)
    point = np.reshape(lens.position, (3, 1, 1)) + lens.rays() * depth
    floor = np.abs(point[1]) < 1e-3
    # The plate is 1.9 m below the lamp: on the floor its shadow is 3 / 1.95 times as wide.
    side = np.maximum(np.abs(point[0]), np.abs(point[2] - 4))
    inside, outside = floor & (side < 0.6), floor & (side > 0.95) & (side < 1.3)
    assert inside.sum() > 50 and outside.sum() > 50
    assert color[0][inside].mean() < 0.35 * color[0][outside].mean()


@pytest.mark.parametrize("build", [room, street])
def test_holes_are_the_only_fault_of_the_measured_depth(build):
    random = np.random.default_rng(5)
    scene = build(random)
    color, depth, shine = render(scene)
    assert np.isfinite(color).all() and color.min() >= 0
    measured = sensor.measure(depth, color, shine, scene.camera.focal, random)
    valid = measured > 0
    assert np.abs(measured - depth)[valid].max() <= 0.00051
    assert measured[valid].min() >= sensor.MIN_RANGE_M
    assert measured.max() <= sensor.MAX_RANGE_M


def test_an_edge_hides_as_many_pixels_as_the_disparity_jumps():
    depth = np.full((4, 100), 4.0, np.float32)
    depth[:, 50:70] = 1.0
    hidden = sensor._shadowed(depth, focal_baseline=12.0)  # disparities 3 and 12
    assert hidden[0].nonzero()[0].tolist() == [*range(3), *range(41, 50)]


def test_scenes_have_the_promised_form_range_and_holes():
    missing, medians, pictures = [], [], []
    for index in range(8):
        rgb, depth = synthetic.make_scene((1, 0, index))
        assert rgb.shape == (480, 640, 3) and rgb.dtype == np.uint8
        assert depth.shape == (480, 640) and depth.dtype == np.float32
        valid = depth > 0
        assert depth[valid].min() >= 0.4 and depth.max() <= 40.0
        np.testing.assert_allclose(depth * 1000, np.rint(depth * 1000), atol=5e-3)
        assert 20 < rgb.mean() < 235 and rgb.std() > 12
        missing.append(1 - valid.mean())
        medians.append(np.median(depth[valid]))
        pictures.append(rgb.tobytes())
    assert min(missing) > 0.01 and np.median(missing) < 0.2
    assert max(medians) > 2 * min(medians)  # one depth for all is a bad guess
    assert len(set(pictures)) == 8


def test_the_data_set_does_not_depend_on_the_number_of_workers(tmp_path):
    one = synthetic.write_synthetic(tmp_path / "one", train=2, validation=1, workers=1)
    two = synthetic.write_synthetic(tmp_path / "two", train=2, validation=1, workers=2)
    names = sorted(path.relative_to(one) for path in one.rglob("*.*"))
    assert [str(name) for name in names] == [
        "synthetic.json",
        *(f"train/{kind}" for kind in ("depth/0000.png", "depth/0001.png")),
        *(f"train/{kind}" for kind in ("rgb/0000.jpg", "rgb/0001.jpg")),
        "validation/depth/0000.png",
        "validation/rgb/0000.jpg",
    ]
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    depth = read_depth(one / "train/depth/0001.png")
    np.testing.assert_array_equal(depth, synthetic.make_scene((0, 0, 1))[1])
    with Image.open(one / "train/rgb/0001.jpg") as picture:
        assert picture.size == (640, 480) and picture.mode == "RGB"
    first = (one / "train/depth/0000.png").read_bytes()
    assert first != (one / "validation/depth/0000.png").read_bytes()


@pytest.fixture
def quick(monkeypatch):
    """A scene that costs nothing and tells its seed."""
    calls = []

    def make_scene(seed):
        calls.append(tuple(seed))
        value = sum(seed) % 250
        return np.full((480, 640, 3), value, np.uint8), np.full((480, 640), 2.0, np.float32)

    monkeypatch.setattr(synthetic, "make_scene", make_scene)
    return calls


def test_no_scene_is_made_twice(tmp_path, quick):
    synthetic.write_synthetic(tmp_path / "data", train=20, validation=10, workers=1)
    assert len(quick) == len(set(quick)) == 30


def test_a_complete_folder_is_used_again_and_another_one_replaced(tmp_path, quick):
    folder = tmp_path / "deep" / "data"
    arguments = dict(train=2, validation=1, workers=1)
    assert synthetic.write_synthetic(folder, **arguments) == folder
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    synthetic.write_synthetic(folder, **arguments)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert len(quick) == 3
    synthetic.write_synthetic(folder, seed=9, **arguments)
    assert len(quick) == 6
    assert json.loads((folder / "synthetic.json").read_text())["seed"] == 9
    assert [path.name for path in folder.parent.iterdir()] == ["data"]


def test_who_comes_second_leaves_the_scenes_of_the_first(tmp_path, quick, monkeypatch):
    folder, arguments = tmp_path / "data", dict(train=2, validation=1, workers=1)
    write, places = synthetic._write_splits, []

    def write_while_another_finishes(*given):
        monkeypatch.setattr(synthetic, "_write_splits", write)
        synthetic.write_synthetic(folder, **arguments)
        places.append(folder.stat().st_ino)
        write(*given)

    monkeypatch.setattr(synthetic, "_write_splits", write_while_another_finishes)
    synthetic.write_synthetic(folder, **arguments)
    assert [folder.stat().st_ino] == places
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_an_error_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(seed):
        raise ArithmeticError

    monkeypatch.setattr(synthetic, "make_scene", fail)
    with pytest.raises(ArithmeticError):
        synthetic.write_synthetic(tmp_path / "data", train=2, validation=1, workers=1)
    assert list(tmp_path.iterdir()) == []


def test_files_of_others_are_not_touched(tmp_path, quick):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"data: holds other files"):
        synthetic.write_synthetic(folder, train=1, validation=1, workers=1)
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]
    with pytest.raises(UserError, match=r"thesis.txt: holds other files"):
        synthetic.write_synthetic(folder / "thesis.txt", train=1, validation=1, workers=1)
    assert (folder / "thesis.txt").read_text() == "mine"
    assert quick == []


def test_a_path_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        synthetic.write_synthetic(tmp_path / "file" / "data", train=1, validation=1)
