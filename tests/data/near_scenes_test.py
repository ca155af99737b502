"""Tests of the near views: depth to the millimetre, hollow vessels, what a view promises."""

import numpy as np
import pytest

from mai_depth.data.room_folder import make_view
from mai_depth.data.scenes import prints
from mai_depth.data.scenes import sensor
from mai_depth.data.scenes import shadows
from mai_depth.data.scenes import textures
from mai_depth.data.scenes import things
from mai_depth.data.scenes import vessels
from mai_depth.data.scenes import viewpoint
from mai_depth.data.scenes.build import Group
from mai_depth.data.scenes.build import paint
from mai_depth.data.scenes.near import near
from mai_depth.data.scenes.raycast import Camera
from mai_depth.data.scenes.raycast import trace
from mai_depth.data.scenes.scene import Light
from mai_depth.data.scenes.scene import Scene
from mai_depth.data.scenes.shading import render
from mai_depth.data.scenes.solids import Box
from mai_depth.data.scenes.tops import desk
from mai_depth.data.scenes.viewpoint import Sight

GRAY = paint(textures.plain, color=textures.linear(128, 128, 128), mottle=0.0)
DOWN = -np.pi / 2


def solids_of(build) -> list:
    solids = []
    build(Group(solids))
    return solids


@pytest.fixture(scope="module")
def scenes():
    """Twelve near views and their z depth without holes."""
    made = [near(np.random.default_rng([77, index])) for index in range(12)]
    return [(scene, trace(scene.solids, scene.camera)[0]) for scene in made]


@pytest.mark.parametrize("roll_deg", [0.0, 8.0])
def test_a_table_top_at_a_known_pose_is_right_to_the_millimetre(roll_deg):
    # The lens is 0.4 m above the top and looks down by 30 degrees: the axis meets it at 0.8 m.
    # A pixel at x to the right and y up (in focal lengths) looks along
    # forward + x right + y up; its vertical part is -sin 30 + cos 30 (y cos roll + x sin roll).
    lens = Camera((0.1, 1.14, -0.2), 0.3, -np.pi / 6, np.radians(roll_deg), fov=np.radians(60))
    solids = solids_of(lambda group: group.box((0, 0, 0), (20, 0.74, 20), GRAY))
    lamps = [Light((0.0, 2.5, 0.0), (2.0, 2.0, 2.0))]
    color, depth, shine = render(Scene(solids, lamps, lens, (0.3,) * 3, (0.2,) * 3))
    focal = 320 / np.tan(np.radians(30))
    x = (np.arange(640) - 319.5) / focal
    y = ((239.5 - np.arange(480)) / focal)[:, None]
    roll = np.radians(roll_deg)
    down = 0.5 - np.sqrt(0.75) * (y * np.cos(roll) + x * np.sin(roll))
    seen = (down > 0.05) & np.isfinite(depth)
    measured = sensor.measure(depth, color, shine, focal, np.random.default_rng(0), 0.15)
    valid = seen & (measured > 0)
    assert valid.mean() > 0.6
    assert np.abs(measured - 0.4 / down)[valid].max() <= 0.00052  # half a millimetre of rounding
    assert (0.4 / down)[239:241, 319:321].mean() == pytest.approx(0.8, abs=1e-4)


def test_a_cup_is_open_and_as_deep_as_it_is_high():
    # From 0.5 m above its foot: the bottom at 0.5; where a ray of slope x meets the wall of 4 cm
    # above the bottom, z = 0.04 / x; beyond x = 0.04 / 0.4 the ground.
    lens = Camera((0, 0.5, 0), pitch=DOWN, size=(47, 63), fov=1.0)
    solids = solids_of(lambda group: (
        group.box((0, -1, 0), (9, 1, 9), GRAY), vessels.cup(group, 0.1, 0.04, 0.04, GRAY)))
    depth, number = trace(solids, lens)
    assert depth[23, 31] == pytest.approx(0.5, abs=1e-6)
    slope = 5 / lens.focal
    assert 0.08 < slope < 0.1
    assert depth[23, 36] == pytest.approx(0.04 / slope, abs=1e-5)
    assert number[23, 36] == 1
    assert depth[23, 38] == pytest.approx(0.5, abs=1e-6) and number[23, 38] == 0


def test_a_bowl_is_the_lower_half_of_an_ellipsoid():
    # Half axes 0.1 and 0.05 around a centre 0.45 m below the lens. A ray of slope x meets it where
    # (x z / 0.1)^2 + ((z - 0.45) / 0.05)^2 = 1, the farther of the two.
    lens = Camera((0, 0.5, 0), pitch=DOWN, size=(47, 63), fov=1.0)
    solids = solids_of(lambda group: vessels.shell(group, 0.05, 0.1, GRAY))
    depth, _ = trace(solids, lens)
    assert depth[23, 31] == pytest.approx(0.5, abs=1e-6)
    slope = 8 / lens.focal
    a, b, c = (slope / 0.1) ** 2 + 400, -2 * 0.45 * 400, 0.45**2 * 400 - 1
    expected = (-b + np.sqrt(b * b - 4 * a * c)) / (2 * a)
    assert depth[23, 39] == pytest.approx(expected, abs=1e-5)
    assert not np.isfinite(depth[23, 31 + 14])


def test_a_mug_shades_what_lies_behind_its_wall_and_lets_light_in_at_the_top():
    (cup,) = solids_of(lambda group: vessels.cup(group, 0.1, 0.04, 0.04, GRAY))
    beside, within = np.float32([[0.06], [0.01], [0]]), np.float32([[0], [0.01], [0]])
    through_the_wall = np.float32([[-0.6], [1.0], [0]])  # enters at 4 cm, leaves by the top
    upwards = np.float32([[0], [1], [0]])
    assert cup.blocks(beside, through_the_wall, np.inf).tolist() == [True]
    assert cup.blocks(within, upwards, np.inf).tolist() == [False]
    assert cup.blocks(beside, upwards, np.inf).tolist() == [False]


@pytest.mark.parametrize("kind", things.RADII)
def test_things_stand_on_their_origin_and_keep_to_their_room(kind):
    for seed in range(4):
        solids = []
        kind(Group(solids), np.random.default_rng(seed))
        corners = np.concatenate([solid.corners for solid in solids], axis=1)
        assert -0.02 < corners[1].min() < 0.011  # pens lean
        assert corners[1].max() < 0.45
        assert np.abs(corners[[0, 2]]).max() < 2 * things.RADII[kind]


def test_things_are_not_put_into_each_other():
    solids = []
    taken = [(0.0, 0.0, 0.2)]
    kinds = [vessels.fruit]
    things.strew(Group(solids), np.random.default_rng(1), kinds, 60, (-1, -1), (1, 1), taken)
    places = np.array([solid.center[[0, 2]] for solid in solids])
    assert len(places) > 10
    gaps = np.hypot(*(places[:, None] - places[None]).T) + np.eye(len(places))
    assert gaps.min() >= 0.9 * 2 * things.RADII[vessels.fruit]
    assert np.hypot(*places.T).min() >= 0.9 * (0.2 + things.RADII[vessels.fruit])


def test_near_views_keep_what_they_promise(scenes):
    shares = []
    for scene, depth in scenes:
        camera = scene.camera
        assert viewpoint.PITCHES_DEG[0] <= np.degrees(camera.pitch) <= viewpoint.PITCHES_DEG[1]
        assert viewpoint.FOVS_DEG[0] <= np.degrees(camera.fov) <= viewpoint.FOVS_DEG[1]
        assert abs(np.degrees(camera.roll)) <= viewpoint.MAX_ROLL_DEG + 1e-9
        assert camera.size == (480, 640)
        assert depth.min() >= viewpoint.NEAREST_M and np.isfinite(depth).all()
        shares.append(np.mean(depth < viewpoint.NEAR_M))
    assert min(shares) > 0.3 and np.mean(shares) > 0.6


def test_a_camera_is_0_3_to_1_5_m_from_what_it_aims_at():
    point = (0.2, 0.9, -0.3)
    solids = []
    random = np.random.default_rng(4)
    desk(Group(solids), random)
    solids.insert(0, Box(np.array([0, 2, 0]), np.full(3, 5), np.eye(3), GRAY, inside=True))
    for _ in range(10):
        camera = viewpoint.look(solids, Sight(Group(solids), point, point, 1.0), random)
        to_point = np.subtract(point, camera.position)
        distance = np.linalg.norm(to_point)
        assert 0.3 <= distance <= 1.5
        np.testing.assert_allclose(to_point / distance, camera.turned[:, 2], atol=1e-12)


def test_no_camera_is_found_before_a_bare_wall():
    room = Box(np.array([0, 1.2, 0]), np.array([2, 1.2, 2]), np.eye(3), GRAY, inside=True)
    sight = Sight(Group([]), (0, 1, 1), (0, 1, 1), 0.5)
    assert viewpoint.look([room], sight, np.random.default_rng(0)) is None


def test_views_differ_and_a_seed_repeats_them():
    rgb, depth, focal_length = make_view((3, 2, 1), True)
    again = make_view((3, 2, 1), True)
    np.testing.assert_array_equal(rgb, again[0])
    np.testing.assert_array_equal(depth, again[1])
    assert focal_length == again[2]
    other = make_view((3, 2, 2), True)
    assert focal_length != other[2] and np.mean(depth != other[1]) > 0.5
    scene = near(np.random.default_rng((3, 2, 1)))
    exact, valid = trace(scene.solids, scene.camera)[0], depth > 0
    assert valid.mean() > 0.7 and depth[valid].min() >= 0.15
    assert np.abs(exact - depth)[valid].max() <= 0.00051
    assert focal_length == pytest.approx(0.5 / np.tan(scene.camera.fov / 2), rel=1e-12)


def test_a_lamp_is_seen_in_nine_rows_and_columns_within_three_by_three_points():
    parts = shadows._in_turn(np.arange(7 * 5), columns=5).reshape(2, 7, 5)
    for axis in parts:
        for row in range(5):
            for column in range(3):
                square = axis[row : row + 3, column : column + 3]
                assert sorted(square.ravel().tolist()) == list(range(-4, 5))


def test_soft_shadows_of_wide_lamps_have_less_grain_in_turn():
    """The shadow of a long edge is the same all along it, but for the grain."""
    def grain(in_turn):
        lens = Camera((0, 1.0, 0), pitch=DOWN, size=(240, 320), fov=1.0)
        lamp = Light((0, 3, 0), (4.0,) * 3, spread=0.3, in_turn=in_turn)
        solids = solids_of(lambda group: (
            group.box((0, -1, 0), (9, 1, 9), GRAY), group.box((0.6, 0.3, 0), (1, 0.01, 9), GRAY)))
        color = render(Scene(solids, [lamp], lens, (0.1,) * 3, (0.1,) * 3))[0][0]
        along = color[100:140, :160 + int(0.12 * lens.focal)]  # beyond, the plate hides its shadow
        return np.std(along - along.mean(0), axis=0).max()

    assert grain(True) < 0.5 * grain(False)


@pytest.mark.parametrize("reach", [0.05, 0.12])
def test_a_body_darkens_the_ground_beside_it_as_far_as_the_scene_says(reach):
    # 0.1 m beside its side, which the ground neither faces nor turns from: 1 - 0.5 * 0.55 e^(-d/r).
    lens = Camera((0, 1.0, 0), pitch=DOWN, size=(240, 320), fov=1.0)
    solids = solids_of(lambda group: (
        group.box((0, -1, 0), (9, 1, 9), GRAY, casts=False),
        group.box((0.2, 0, 0), (0.2, 0.1, 2), GRAY)))
    scene = Scene(solids, [], lens, (1.0,) * 3, (1.0,) * 3, contact_m=reach)
    gray = textures.linear(128, 128, 128)[0, 0]
    expected = gray * (1 - 0.275 * np.exp(-0.1 / reach))
    assert render(scene)[0][0, 120, 160] == pytest.approx(expected, rel=0.01)


def test_letters_fade_to_their_mean_when_pixels_are_larger_than_they():
    u = np.linspace(0, 0.5, 200, dtype=np.float32)
    u, v = (axis.ravel() for axis in np.meshgrid(u, u))
    fine = prints.letters(u, v, np.full_like(u, 1e-4), 0.01, 3)
    assert set(np.unique(fine)) == {0.0, 1.0}
    coarse = prints.letters(u, v, np.full_like(u, 0.1), 0.01, 3)
    assert coarse.std() == 0 and coarse.mean() == pytest.approx(fine.mean(), abs=0.08)


@pytest.mark.parametrize("pattern", [prints.label, prints.page, prints.screen, prints.back])
def test_prints_are_colours(pattern):
    random = np.random.default_rng(2)
    u, v = random.uniform(-0.1, 0.1, (2, 500)).astype(np.float32)
    tones = (200, 30, 30), (0, 0, 0), (9, 90, 9), (255, 255, 255)
    colors = [textures.linear(*tone) for tone in tones]
    more = {prints.label: dict(colors=colors), prints.back: dict(color=colors[0], ink=colors[3])}
    shown = pattern(u, v, np.full_like(u, 1e-3), half=(0.1, 0.1), seed=5, **more.get(pattern, {}))
    assert shown.shape == (3, 500) and shown.min() >= 0 and shown.max() <= 1.2
    assert shown.std() > 0.01
