"""Hollow things: mugs, glasses, bowls, plates and pots. Their walls have no thickness."""

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from mai_depth.data.scenes import furniture
from mai_depth.data.scenes import textures
from mai_depth.data.scenes.build import Group
from mai_depth.data.scenes.build import leafy
from mai_depth.data.scenes.build import paint
from mai_depth.data.scenes.build import pick
from mai_depth.data.scenes.solids import CLEAR_M
from mai_depth.data.scenes.solids import Ellipsoid
from mai_depth.data.scenes.solids import Frustum
from mai_depth.data.scenes.solids import Material
from mai_depth.data.scenes.solids import Solid
from mai_depth.data.scenes.solids import turn

_CERAMICS = [
    (240, 240, 235),
    (225, 215, 195),
    (70, 100, 140),
    (180, 60, 50),
    (60, 65, 70),
    (130, 160, 120),
    (215, 170, 70),
    (160, 195, 200),
]
_DRINKS = [(60, 35, 20), (130, 75, 30), (200, 200, 190), (190, 110, 40), (150, 50, 30)]


@dataclasses.dataclass(frozen=True)
class _Hollow(Solid):
    """A body of which `mask` leaves a wall.

    Foliage stops light only at the back of its body. Here light is stopped at the front as well, so
    that a mug casts a whole shadow.
    """

    def blocks(self, origin, direction, reach):
        origin, direction = self.local(origin), turn(self.turned.T, direction)
        enter, leave = self.span(origin, direction)
        hit = (enter < leave) & (leave > CLEAR_M) & (enter < reach)
        front = self._solid_at(origin, direction, enter, hit & (enter > CLEAR_M))
        return front | self._solid_at(origin, direction, leave, hit & ~front)


@dataclasses.dataclass(frozen=True)
class Cup(_Hollow, Frustum):
    """A frustum without its top."""


@dataclasses.dataclass(frozen=True)
class Shell(_Hollow, Ellipsoid):
    """The lower part of an ellipsoid."""


def below(rim: float) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a mask that keeps what lies below y = `rim` of the local frame."""
    return lambda points: points[1] < np.float32(rim)


def cup(group: Group, height: float, bottom: float, top: float, material: Material) -> None:
    """An open round vessel that stands on the group's origin; lengths in metres."""
    rim = below(height / 2 - 2e-4)
    group.round((0, 0, 0), height, bottom, top, material, shape=Cup, mask=rim)


def shell(group: Group, height: float, radius: float, material: Material) -> None:
    """A bowl: the lower half of an ellipsoid that stands on the group's origin."""
    size = (2 * radius, 2 * height, 2 * radius)
    group.ellipsoid((0, 0, 0), size, material, shape=Shell, mask=below(0.0))


def ceramic(random: Generator) -> Material:
    """Glazed ceramic of one colour."""
    gloss = random.uniform(0.1, 0.6)
    return paint(textures.plain, gloss, color=pick(random, _CERAMICS), mottle=0.03, period=0.3)


def mug(group: Group, random: Generator) -> None:
    """A mug with its handle, full or empty."""
    height, radius = random.uniform(0.075, 0.115), random.uniform(0.034, 0.044)
    glaze = ceramic(random)
    cup(group, height, radius * random.uniform(0.75, 1.0), radius, glaze)
    size = (0.055, 0.65 * height, 0.014)
    at = (radius, 0.17 * height, 0)
    group.ellipsoid(at, size, glaze, mask=_ring(size), casts=False)
    if random.random() < 0.6:
        _fill(group, random, 0.75 * height, 0.9 * radius)


def _ring(size: tuple[float, float, float]) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a mask that takes the middle out of a flat ellipsoid."""

    def mask(points: np.ndarray) -> np.ndarray:
        x, y = points[0] * np.float32(2 / size[0]), points[1] * np.float32(2 / size[1])
        return x * x + y * y > np.float32(0.45)

    return mask


def _fill(group: Group, random: Generator, level: float, radius: float) -> None:
    drink = paint(textures.plain, 0.3, color=pick(random, _DRINKS), mottle=0.02)
    group.round((0, level, 0), 0.002, radius, radius, drink, casts=False)


def bowl(group: Group, random: Generator) -> None:
    """A bowl, empty or with fruit or soup in it."""
    height, radius = random.uniform(0.05, 0.095), random.uniform(0.065, 0.115)
    glaze = ceramic(random)
    if random.random() < 0.6:
        shell(group, height, radius, glaze)
    else:
        cup(group, height, 0.5 * radius, radius, glaze)
    choice = random.random()
    if choice < 0.25:
        _fill(group, random, 0.6 * height, 0.72 * radius)
    elif choice < 0.45:
        for angle in random.uniform(0, 2) + np.arange(3) * 2.1:
            at = (0.45 * radius * np.cos(angle), 0.35 * height, 0.45 * radius * np.sin(angle))
            fruit(group.inner(at), random)


def plate(group: Group, random: Generator) -> None:
    """A flat plate, perhaps with another on it."""
    radius, glaze = random.uniform(0.085, 0.13), ceramic(random)
    for level in range(random.choice([1, 1, 2, 4])):
        cup(group.inner((0, 0.008 * level, 0)), 0.018, 0.62 * radius, radius, glaze)


def pot(group: Group, random: Generator) -> None:
    """A cooking pot: metal or enamel, with two handles, open or under its lid."""
    height, radius = random.uniform(0.07, 0.15), random.uniform(0.08, 0.115)
    side = furniture.metal(170) if random.random() < 0.5 else ceramic(random)
    cup(group, height, 0.95 * radius, radius, side)
    for x in (-1, 1):
        group.box((x * (radius + 0.015), 0.75 * height, 0), (0.035, 0.012, 0.06), side, casts=False)
    if random.random() < 0.5:
        group.round((0, height, 0), 0.015, radius, 0.7 * radius, side)
        group.round((0, height + 0.015, 0), 0.025, 0.012, 0.018, furniture.metal(40))


def fruit(group: Group, random: Generator) -> None:
    """An apple, an orange, a lemon, or a potato."""
    colors = [(190, 40, 35), (235, 130, 30), (150, 180, 60), (235, 205, 70), (165, 130, 85)]
    skin = paint(textures.plain, 0.25, color=pick(random, colors), mottle=0.12, period=0.25)
    size = random.uniform(0.055, 0.085)
    group.ellipsoid((0, 0, 0), (size, size * random.uniform(0.8, 1), size), skin)


def flowerpot(group: Group, random: Generator) -> None:
    """A small plant."""
    height, radius = random.uniform(0.07, 0.12), random.uniform(0.045, 0.065)
    cup(group, height, 0.7 * radius, radius, ceramic(random))
    earth = paint(textures.plain, color=textures.linear(60, 45, 35), mottle=0.3, period=0.2)
    group.round((0, 0.8 * height, 0), 0.004, 0.9 * radius, 0.9 * radius, earth, casts=False)
    colors = [(70, 120, 50), (60, 95, 60), (110, 140, 70)]
    green = paint(textures.leaves, 0.1, color=pick(random, colors))
    for _ in range(4):
        x, y, z = random.normal(0, 0.035, 3)
        mask = leafy(0.5, 0.006, int(random.integers(1000)))
        size = tuple(random.uniform(0.08, 0.15, 3))
        group.ellipsoid((x, height + 0.01 + abs(y), z), size, green, mask=mask, casts=False)


def pens(group: Group, random: Generator) -> None:
    """A cup with pens in it."""
    cup(group, 0.1, 0.035, 0.04, ceramic(random) if random.random() < 0.5 else furniture.metal(60))
    for _ in range(random.integers(3, 8)):
        x, z = random.uniform(-0.018, 0.018, 2)
        lean = tuple(random.normal(0, 0.14, 2))
        size = (0.008, random.uniform(0.13, 0.18), 0.008)
        group.box((x, 0.006, z), size, furniture.enamel(random), lean=lean, casts=False)
