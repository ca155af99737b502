"""Rooms: small rooms, living rooms, kitchens, offices, corridors and halls."""

import numpy as np
from numpy.random import Generator

from mai_depth.data.scenes import fittings
from mai_depth.data.scenes import furniture
from mai_depth.data.scenes import textures
from mai_depth.data.scenes.build import Group
from mai_depth.data.scenes.build import best_camera
from mai_depth.data.scenes.build import paint
from mai_depth.data.scenes.build import pick
from mai_depth.data.scenes.raycast import Camera
from mai_depth.data.scenes.scene import Light
from mai_depth.data.scenes.scene import Scene
from mai_depth.data.scenes.solids import Box
from mai_depth.data.scenes.solids import Solid

# Least and greatest width (x), depth (z) and height in metres, and how often there is such a room.
SIZES = {
    "small": ((2.6, 2.8, 2.3), (3.5, 4.0, 2.6), 0.22),
    "living": ((3.8, 4.2, 2.4), (5.5, 6.5, 2.9), 0.43),
    "corridor": ((1.6, 7.0, 2.4), (2.6, 16.0, 3.0), 0.12),
    "hall": ((7.0, 9.0, 3.2), (12.0, 18.0, 5.5), 0.23),
}
_AGAINST_WALL = {  # piece: (width that it needs, height)
    furniture.bookcase: (1.3, 2.2),
    furniture.cupboard: (1.9, 2.1),
    furniture.sofa: (2.2, 0.9),
    furniture.bed: (1.9, 1.1),
    furniture.kitchen: (3.3, 2.1),
    furniture.desk: (1.8, 1.2),
    furniture.television: (1.9, 1.4),
    furniture.plant: (0.7, 1.2),
    furniture.lamp: (0.5, 1.7),
    furniture.cartons: (0.7, 1.2),
}


def room(random: Generator) -> Scene:
    """Builds a random room with furniture, lamps and a camera in it.

    Args:
        random: Source of all choices.
    """
    kinds = list(SIZES)
    kind = kinds[random.choice(len(kinds), p=[SIZES[name][2] for name in kinds])]
    width, depth, height = random.uniform(*SIZES[kind][:2])
    inside = shell(random, kind, width, depth, height)
    solids: list[Solid] = [inside]
    windows = _furnish(solids, random, kind, width, depth, height)
    lights = lamps(solids, random, width, depth, height)
    if windows and random.random() < 0.5:
        lights.append(sunbeam(random, windows[0]))
    camera = best_camera(solids, [_camera(random, width, depth, height) for _ in range(4)])
    ambient = random.uniform(0.25, 0.5)
    tint = random.normal(1, 0.04, 3)
    above, below = (tuple(ambient * share * tint) for share in (1.0, 0.75))
    return Scene(solids, lights, camera, above, below, room=inside)


def shell(random: Generator, kind: str, width: float, depth: float, height: float) -> Box:
    """Walls, floor and ceiling of a room; `kind` is a key of `SIZES`, its size is in metres."""
    wall = fittings.wall(random, height)
    other = fittings.wall(random, height) if random.random() < 0.3 else wall
    white = pick(random, [(245, 243, 238), (235, 235, 232)], 0.05)
    ceiling = paint(textures.plain, color=white, mottle=0.03)
    if kind in ("hall", "corridor") and random.random() < 0.6:
        ceiling = paint(
            textures.tiles,
            color=white,
            second=white,
            joint=white * 0.5,
            size=0.6,
            gap=0.02,
            spread=0.02,
        )
    faces = {2: fittings.floor(random), 3: ceiling, 5: other}
    center, half = np.array([0, height / 2, 0]), np.array([width, height, depth]) / 2
    return Box(center, half, np.eye(3), wall, faces, casts=False, inside=True)


def _furnish(
    solids: list[Solid],
    random: Generator,
    kind: str,
    width: float,
    depth: float,
    height: float,
) -> list[Solid]:
    """Puts pieces along the four walls and in the middle; returns the panes of the windows."""
    windows: list[Solid] = []
    for side in range(4):
        yaw = side * np.pi / 2
        length, distance = (width, depth) if side % 2 == 0 else (depth, width)
        turned = Group(solids, (0, 0, 0), yaw)
        wall = turned.inner((0, 0, distance / 2 - 0.005))
        furnish_wall(wall, random, kind, length, height, windows)
    middle = Group(
        solids, (0, 0, 0), random.uniform(0, 6.3) if kind == "hall" else random.normal(0, 0.1)
    )
    _middle(middle, random, kind, width, depth, height)
    return windows


def furnish_wall(
    wall: Group, random: Generator, kind: str, length: float, height: float, windows: list[Solid]
) -> None:
    """Puts furniture, doors and windows along a wall of `length`; adds the windows' panes."""
    x = -length / 2 + random.uniform(0.1, 0.7)
    pieces = list(_AGAINST_WALL)
    while x < length / 2 - 0.6:
        choice = random.random()
        piece = pieces[random.integers(len(pieces))]
        need, top = _AGAINST_WALL[piece]
        narrow = kind == "corridor" and piece not in (furniture.plant, furniture.cartons)
        fits = x + need < length / 2 - 0.1 and not narrow
        if choice < 0.17 and x + 1.1 < length / 2:
            fittings.door(wall.inner((x + 0.5, 0, 0)), random)
            x += 1.1
        elif choice < 0.36 and x + 1.6 < length / 2:
            windows.append(fittings.window(wall.inner((x + 0.75, 0, 0)), random, height))
            x += 1.7
        elif choice < 0.82 and fits:
            piece(wall.inner((x + need / 2, 0, 0)), random)
            if top < 1.3 and random.random() < 0.6:
                fittings.picture(wall.inner((x + need / 2, random.uniform(1.35, 1.55), 0)), random)
            x += need
        else:
            if random.random() < 0.5:
                fittings.picture(wall.inner((x + 0.4, random.uniform(1.2, 1.5), 0)), random)
            x += 0.9
        x += random.uniform(0.05, 0.5)


def _middle(
    group: Group, random: Generator, kind: str, width: float, depth: float, height: float
) -> None:
    if kind == "corridor":
        return
    if kind == "hall":
        for _ in range(random.integers(2, 6)):
            at = (random.uniform(-0.3, 0.3) * width, 0, random.uniform(-0.35, 0.35) * depth)
            here = group.inner(at, random.uniform(0, 6.3))
            furniture.dining(here, random)
        if random.random() < 0.6:
            _columns(group.solids, random, width, depth, height)
        return
    if random.random() < 0.5:
        half = (random.uniform(0.7, 1.1), random.uniform(0.5, 0.9))
        colors = pick(random, furniture.CLOTHS), pick(random, furniture.CLOTHS)
        rug = paint(textures.carpet, color=colors[0], second=colors[1], half=half)
        group.box((0, 0, 0), (2 * half[0], 0.012, 2 * half[1]), rug)
    middle = group.inner((random.normal(0, 0.3), 0.0, random.normal(0, 0.3)))
    if kind == "small" and random.random() < 0.5:
        furniture.table(middle, random, random.uniform(0.5, 0.8), 0.5, random.uniform(0.4, 0.75))
    if kind == "living":
        if random.random() < 0.6:
            furniture.dining(middle, random)
        else:
            furniture.table(middle, random, random.uniform(0.6, 1.1), 0.6, 0.42)
    furniture.clutter(group, random, width * 0.6, depth * 0.6, int(random.integers(0, 4)))


def _columns(
    solids: list[Solid], random: Generator, width: float, depth: float, height: float
) -> None:
    group, radius = Group(solids), random.uniform(0.15, 0.35)
    stone = paint(textures.plain, 0.1, color=pick(random, fittings.WALLS), mottle=0.1)
    for x in (-0.28, 0.28):
        for z in (-0.33, 0.0, 0.33):
            if random.random() < 0.7:
                group.round((x * width, 0, z * depth), height, radius, radius * 0.9, stone)


def lamps(
    solids: list[Solid], random: Generator, width: float, depth: float, height: float
) -> list[Light]:
    """Hangs lamps from the ceiling of a room whose size is in metres; returns their lights."""
    group, lights = Group(solids), []
    count = 1 if max(width, depth) < 5 else int(random.integers(2, 5))
    warm = np.array([1.0, random.uniform(0.8, 1.0), random.uniform(0.6, 1.0)])
    glow = paint(textures.plain, 0, 8.0, color=textures.linear(250, 245, 235), mottle=0.0)
    strength = random.uniform(0.9, 1.6) * height
    drop = random.choice([0.04, 0.5])
    for i in range(count):
        along = (i + 0.5) / count - 0.5
        at = (random.normal(0, 0.05) * width, height - drop, along * depth * 0.95)
        if drop > 0.1:
            group.ellipsoid((at[0], at[1] - 0.12, at[2]), (0.28, 0.24, 0.28), glow, casts=False)
            group.round(at, drop, 0.008, 0.008, furniture.metal(), casts=False)
        else:
            group.box((at[0], at[1], at[2]), (0.6, 0.039, 0.6), glow, casts=False)
        below = (at[0], at[1] - 0.14, at[2])
        color = tuple(warm * strength / count**0.5)
        lights.append(Light(below, color, spread=0.12))
    return lights


def sunbeam(random: Generator, pane: Solid) -> Light:
    """Sun through a window, given its pane."""
    inward = -pane.turned[:, 2]
    side = pane.turned[:, 0] * random.normal(0, 0.5)
    towards = -inward + side + np.array([0, random.uniform(0.5, 1.1), 0])
    color = tuple(np.array([1.0, 0.93, 0.8]) * random.uniform(1.5, 4.0))
    return Light(tuple(towards), color, sun=True, opening=pane)


def _camera(random: Generator, width: float, depth: float, height: float) -> Camera:
    """A camera somewhere in the room, looking across it and a little down."""
    x, z = random.uniform(-0.42, 0.42) * width, random.uniform(-0.45, 0.45) * depth
    aim = np.array([random.uniform(-0.4, 0.4) * width, random.uniform(-0.4, 0.4) * depth])
    aim = np.where(np.hypot(*(aim - (x, z))) < 0.4 * min(width, depth), -np.array([x, z]), aim)
    yaw = np.arctan2(aim[0] - x, aim[1] - z) + random.normal(0, 0.1)
    tall = random.uniform(0.5, 2.0) if random.random() < 0.4 else random.uniform(1.1, 1.7)
    pitch = random.normal(-0.16, 0.1) - 0.12 * (tall - 1.2)
    fov = np.radians(random.uniform(50, 75))
    position = (x, min(tall, height - 0.4), z)
    return Camera(position, yaw, float(np.clip(pitch, -0.6, 0.15)), random.normal(0, 0.035), fov)
