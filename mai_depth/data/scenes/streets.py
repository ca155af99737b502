"""Streets: a road with pavements, houses, parked and driving cars, trees, poles and a sky."""

from typing import Any

import numpy as np
from numpy.random import Generator

from mai_depth.data.scenes import roadside
from mai_depth.data.scenes import textures
from mai_depth.data.scenes.build import Group
from mai_depth.data.scenes.build import best_camera
from mai_depth.data.scenes.build import paint
from mai_depth.data.scenes.build import pick
from mai_depth.data.scenes.raycast import Camera
from mai_depth.data.scenes.scene import Light
from mai_depth.data.scenes.scene import Scene
from mai_depth.data.scenes.solids import Solid

_PLASTERS = [
    (225, 215, 195),
    (200, 185, 160),
    (215, 190, 150),
    (190, 195, 200),
    (235, 230, 222),
    (190, 140, 110),
    (160, 165, 160),
    (220, 200, 205),
    (150, 110, 90),
]
_BRICKS = [(140, 75, 55), (165, 100, 75), (120, 80, 70), (190, 160, 130)]
_ROOFS = [(130, 65, 50), (95, 60, 50), (70, 70, 75), (110, 100, 95)]
_LENGTH_M = 90.0


def street(random: Generator) -> Scene:
    """Builds a random street with a camera on the road or on a pavement.

    Args:
        random: Source of all choices.
    """
    solids: list[Solid] = []
    road, pavement = random.uniform(2.8, 5.0), random.uniform(1.8, 3.5)
    rural = random.random() < 0.3
    _ground(solids, random, road, pavement, rural)
    for side in (-1, 1):
        _houses(solids, random, side, road + pavement, rural)
        _beside_road(solids, random, side, road, pavement, rural)
        if random.random() < 0.75:
            _parked(solids, random, side, road)
    _traffic(solids, random, road)
    if random.random() < 0.6:
        across = Group(solids, (random.normal(0, 4), 0, random.uniform(35, 85)), np.pi / 2)
        _house(across, random, 30.0, random.uniform(6, 16), 8.0)
    camera = best_camera(solids, [_camera(random, road, pavement) for _ in range(2)], 1.0, 2.5)
    return _daylight(solids, random, camera)


def _daylight(solids: list[Solid], random: Generator, camera: Camera) -> Scene:
    azimuth, elevation = random.uniform(0, 2 * np.pi), random.uniform(0.4, 1.1)
    sun = (
        np.cos(elevation) * np.sin(azimuth),
        np.sin(elevation),
        np.cos(elevation) * np.cos(azimuth),
    )
    clear = random.random() < 0.75
    strength = random.uniform(1.6, 2.8) if clear else random.uniform(0.1, 0.4)
    color = tuple(np.array([1.0, 0.94, 0.84]) * strength)
    veil = np.array([0.75, 0.82, 0.92]) if clear else np.array([0.8, 0.82, 0.84])
    ambient = np.array([0.62, 0.72, 0.9]) if clear else np.array([1.0, 1.02, 1.05])
    sky = _sky(random, veil, clear)
    lights = [Light(sun, color, sun=True, spread=0.0 if clear else 0.15)]
    haze = (tuple(veil), random.uniform(120, 600))
    return Scene(solids, lights, camera, tuple(ambient), tuple(ambient * 0.35), sky, haze)


def _sky(random: Generator, veil: np.ndarray, clear: bool):
    zenith = np.array(
        [0.16, 0.33, 0.72] if clear else [0.6, 0.64, 0.7], np.float32).reshape(3, 1)
    horizon = (veil * 1.15).astype(np.float32).reshape(3, 1)
    cover, shift = random.uniform(-0.6, 1.2), random.uniform(0, 9)

    def sky(direction: np.ndarray) -> np.ndarray:
        up = direction[1] / np.sqrt(np.sum(direction * direction, axis=0))
        color = textures.mix(horizon, zenith, np.clip(up * 1.6, 0, 1) ** np.float32(0.6))
        high = np.maximum(up, np.float32(0.04))
        zero = np.full(up.shape, 0.002, np.float32)
        u, v = direction[0] / high, direction[2] / high
        density = textures.noise(0.12 * u + shift, 0.12 * v, zero / high, 6.0, 1.7) + cover
        share = np.clip(density * 0.7, 0, 1) * np.clip(up * 8, 0, 1)
        return textures.mix(color, np.float32(1.15), np.float32(0.85) * share)

    return sky


def _ground(
    solids: list[Solid], random: Generator, road: float, pavement: float, rural: bool
) -> None:
    group = Group(solids)
    tone = random.uniform(70, 125)
    gray = textures.linear(tone, tone, tone + 3)
    green = paint(textures.grass, color=pick(random, roadside.GREENS))
    paved = paint(textures.asphalt, 0.03, color=gray, half_road=road, lanes=2)
    slabs = paint(
        textures.tiles,
        color=pick(random, [(165, 160, 152), (185, 178, 168)]),
        second=pick(random, [(165, 160, 152), (150, 145, 140)]),
        joint=textures.linear(90, 88, 84),
        size=random.choice([0.3, 0.5]),
    )
    middle = _LENGTH_M / 2 - 10
    group.box((0, -1.2, 0), (1200, 1.0, 1200), green if rural else slabs, casts=False)
    group.box((0, -1.0, middle), (2 * road, 1.0, 3 * _LENGTH_M), paved, casts=False)
    kerb = paint(
        textures.tiles,
        color=textures.linear(165, 163, 158),
        size=1.0,
        second=textures.linear(155, 153, 148),
        joint=textures.linear(95, 93, 90),
    )
    for side in (-1, 1):
        x = side * (road + pavement / 2)
        walk = green if rural and random.random() < 0.5 else slabs
        group.box((x, -1.0, middle), (pavement, 1.12, 3 * _LENGTH_M), walk, casts=False)
        x = side * (road + 0.08)
        group.box((x, -1.0, middle), (0.16, 1.125, 3 * _LENGTH_M), kerb, casts=False)


def _houses(solids: list[Solid], random: Generator, side: int, offset: float, rural: bool) -> None:
    z = -12.0 + random.uniform(-4, 0)
    closed = not rural and random.random() < 0.6
    setback = random.uniform(2, 7) if rural else 0.0
    while z < _LENGTH_M - 15:
        width = random.uniform(7, 16)
        if not rural and random.random() < 0.12:
            width = random.uniform(4, 8)  # a gap
        else:
            depth = random.uniform(6, 12)
            height = random.uniform(3.2, 6.5) if rural else random.choice([6.4, 9.6, 12.8, 16.0])
            x = side * (offset + setback + (0 if closed else random.uniform(0, 1.5)))
            yaw = side * np.pi / 2
            _house(Group(solids, (x, 0.1, z + width / 2), yaw), random, width, height, depth)
        z += width + (0.0 if closed else random.uniform(0.5, 6))


def _house(group: Group, random: Generator, width: float, height: float, depth: float) -> None:
    """A house whose front, at z = 0 of the group, faces -z."""
    if random.random() < 0.4:
        wall = paint(
            textures.bricks, color=pick(random, _BRICKS), joint=textures.linear(170, 162, 150)
        )
    else:
        wall = paint(textures.plain, color=pick(random, _PLASTERS), mottle=0.06, period=4.0)
    settings: dict[str, Any] = dict(
        wall=wall.pattern,
        glass=textures.linear(50, 60, 70),
        frame=pick(random, [(235, 235, 230), (90, 70, 55), (60, 62, 66)]),
        storey=3.2,
        bay=random.uniform(1.9, 3.2),
        size=(random.uniform(0.8, 1.5), random.uniform(1.2, 1.8)),
        seed=int(random.integers(1000)),
    )
    front = paint(textures.facade, 0.0, half=(width / 2, height / 2), **settings)
    flank = paint(textures.facade, 0.0, half=(depth / 2, height / 2), **settings)
    group.box((0, 0, depth / 2), (width, height, depth), flank, faces={4: front, 5: front})
    _roof(group, random, width, height, depth)
    door = paint(
        textures.panels, 0.1, color=pick(random, roadside.CARS), half=(0.5, 1.1), columns=1, rows=2
    )
    group.box((random.uniform(-0.3, 0.3) * width, 0, -0.03), (1.0, 2.2, 0.1), door)
    if random.random() < 0.35:
        x = random.uniform(-0.2, 0.2) * width
        cloth = paint(
            textures.wallpaper,
            color=pick(random, roadside.CARS),
            second=textures.linear(230, 225, 215),
            width=0.25,
        )
        group.box((x, 2.6, -0.6), (width * 0.4, 0.08, 1.2), cloth, lean=(0.25, 0))
    for _ in range(random.integers(0, 3)):
        at = (random.uniform(-0.4, 0.4) * width, 3.3 * random.integers(1, 4), -0.4)
        if at[1] + 1 < height:
            rail = paint(
                textures.wallpaper,
                0.1,
                color=textures.linear(60, 60, 62),
                width=0.06,
                second=textures.linear(120, 120, 120),
            )
            group.box(at, (2.4, 0.9, 0.8), rail)


def _roof(group: Group, random: Generator, width: float, height: float, depth: float) -> None:
    if height > 10 or random.random() < 0.25:
        stone = paint(textures.plain, color=pick(random, _PLASTERS) * 0.7)
        group.box((0, height, depth / 2), (width + 0.4, 0.35, depth + 0.4), stone)
        return
    clay = paint(
        textures.bricks,
        color=pick(random, _ROOFS),
        joint=textures.linear(50, 40, 38),
        height=0.3,
        length=0.25,
    )
    rise, slope = random.uniform(1.6, 3.2), depth / 2 + 0.4
    # Two slopes that meet over the middle: n . p <= n . (the ridge).
    length = np.hypot(rise, slope)
    up, out = slope / length, rise / length
    limit = up * rise / 2
    cuts = (((0.0, up, -out), limit), ((0.0, up, out), limit))
    size = (width + 0.5, rise, depth + 0.8)
    gable = paint(textures.plain, color=pick(random, _PLASTERS))
    group.box((0, height, depth / 2), size, clay, cuts=cuts, faces={0: gable, 1: gable})
    if random.random() < 0.6:
        brick = paint(
            textures.bricks, color=pick(random, _BRICKS), joint=textures.linear(150, 145, 140)
        )
        x = random.uniform(-0.3, 0.3) * width
        group.box((x, height + rise * 0.3, depth / 2), (0.7, rise * 0.7 + 0.8, 0.7), brick)


def _parked(solids: list[Solid], random: Generator, side: int, road: float) -> None:
    z = random.uniform(-4, 8)
    while z < 55:
        if random.random() < 0.7:
            heading = 0.0 if side > 0 else np.pi
            at = (side * (road - 1.05), 0, z)
            roadside.car(Group(solids, at, heading + random.normal(0, 0.02)), random)
        z += random.uniform(5.2, 9)


def _traffic(solids: list[Solid], random: Generator, road: float) -> None:
    for _ in range(random.integers(0, 3)):
        side = random.choice([-1, 1])
        at = (side * road * 0.33, 0, random.uniform(9, 45))
        roadside.car(Group(solids, at, 0.0 if side > 0 else np.pi), random)


def _beside_road(
    solids: list[Solid],
    random: Generator,
    side: int,
    road: float,
    pavement: float,
    rural: bool,
) -> None:
    trees = random.random() < 0.65
    step = random.uniform(7, 14)
    z = random.uniform(-2, 6)
    while z < 60:
        x = side * (road + random.uniform(0.4, 0.8))
        here = Group(solids, (x, 0.12, z + random.normal(0, 0.6)))
        if trees and random.random() < 0.8:
            roadside.tree(here, random)
        elif random.random() < 0.5:
            roadside.lantern(here, random, side)
        if random.random() < 0.4:
            roadside.sign(here.inner((0, 0, 2.5)), random)
        if random.random() < 0.3:
            x = side * pavement * random.uniform(0.3, 0.7)
            roadside.person(here.inner((x, 0, random.uniform(1, 5)), random.uniform(0, 6)), random)
        if random.random() < 0.25:
            roadside.dustbin(here.inner((side * (pavement - 1.0), 0, 1.2)), random)
        z += step
    if rural or random.random() < 0.2:
        roadside.hedge(solids, random, side * (road + pavement + 0.4))


def _camera(random: Generator, road: float, pavement: float) -> Camera:
    """A camera on the road or a pavement, looking along the street or a little to the side."""
    x = random.uniform(-0.7, 0.7) * road
    yaw = random.normal(0, 0.22)
    if random.random() < 0.4:
        side = random.choice([-1, 1])
        x = side * (road + random.uniform(0.3, 0.8) * pavement)
        yaw = -side * abs(random.normal(0.15, 0.25))
    position = (x, random.uniform(1.2, 2.0) + (0.12 if abs(x) > road else 0), 0.0)
    fov = np.radians(random.uniform(50, 75))
    return Camera(position, yaw, random.normal(-0.04, 0.06), random.normal(0, 0.025), fov)
