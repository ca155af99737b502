"""Near views, from 0.3 to 1.5 m: table tops, desks, worktops and shelves, in rooms of `rooms`."""

import dataclasses

import numpy as np
from numpy.random import Generator

from mai_depth.data.scenes import rooms
from mai_depth.data.scenes.build import Group
from mai_depth.data.scenes.scene import Light
from mai_depth.data.scenes.scene import Scene
from mai_depth.data.scenes.shelves import shelf
from mai_depth.data.scenes.solids import Solid
from mai_depth.data.scenes.tops import desk
from mai_depth.data.scenes.tops import table
from mai_depth.data.scenes.tops import worktop
from mai_depth.data.scenes.viewpoint import look

_KINDS = {"small": 0.35, "living": 0.5, "hall": 0.15}
_SUBJECTS = {table: 0.45, desk: 0.25, shelf: 0.17, worktop: 0.13}
_CONTACT_M = 0.05  # small bodies darken little of what surrounds them
_AT_WALL = 0.35  # share of tables that stand against a wall


def near(random: Generator) -> Scene:
    """Builds a random room and looks from near at something in it.

    For pitch, field of view, roll, distance and what holds of every view, see `viewpoint`.

    Args:
        random: Source of all choices.
    """
    while True:
        scene = _attempt(random)
        if scene is not None:
            return scene


def _attempt(random: Generator) -> Scene | None:
    kind = list(_KINDS)[random.choice(len(_KINDS), p=list(_KINDS.values()))]
    width, depth, height = random.uniform(*rooms.SIZES[kind][:2])
    room = rooms.shell(random, kind, width, depth, height)
    solids: list[Solid] = [room]
    subject = list(_SUBJECTS)[random.choice(len(_SUBJECTS), p=list(_SUBJECTS.values()))]
    at_wall = subject is not table or random.random() < _AT_WALL
    if at_wall:
        here = Group(solids).inner((random.uniform(-0.12, 0.12) * width, 0, depth / 2 - 0.005))
    else:
        here = Group(solids, (random.normal(0, 0.2), 0, 0.4), random.normal(0, 0.3))
    sight = subject(here, random)
    windows: list[Solid] = []
    for side in range(1 if at_wall else 0, 4):
        length, distance = (width, depth) if side % 2 == 0 else (depth, width)
        wall = Group(solids, (0, 0, 0), side * np.pi / 2).inner((0, 0, distance / 2 - 0.005))
        rooms.furnish_wall(wall, random, kind, length, height, windows)
    lights = _lights(solids, random, (width, depth, height), windows)
    if at_wall:
        sight = dataclasses.replace(sight, yaw=min(sight.yaw, 1.1))
    camera = look(solids, sight, random)
    if camera is None:
        return None
    above = random.uniform(0.35, 0.65) * random.normal(1, 0.04, 3)
    below = tuple((0.75 * above).tolist())
    light = tuple(above.tolist()), below
    return Scene(solids, lights, camera, *light, room=room, contact_m=_CONTACT_M)


def _lights(solids: list[Solid], random: Generator, size, windows: list[Solid]) -> list[Light]:
    """The room's lamps, as wide as tubes and bulbs are, and the sun in some rooms."""
    spread = random.uniform(0.08, 0.45)
    lamps = rooms.lamps(solids, random, *size)
    lights = [dataclasses.replace(lamp, spread=spread, in_turn=True) for lamp in lamps]
    if windows and random.random() < 0.2:
        lights.append(rooms.sunbeam(random, windows[0]))
    return lights
