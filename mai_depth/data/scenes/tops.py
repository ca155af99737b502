"""Tables, office desks and worktops with what lies on them, to be seen from near."""

import numpy as np
from numpy.random import Generator

from mai_depth.data.scenes import fittings
from mai_depth.data.scenes import furniture
from mai_depth.data.scenes import prints
from mai_depth.data.scenes import textures
from mai_depth.data.scenes import things
from mai_depth.data.scenes import vessels
from mai_depth.data.scenes.build import Group
from mai_depth.data.scenes.build import paint
from mai_depth.data.scenes.build import pick
from mai_depth.data.scenes.solids import Material
from mai_depth.data.scenes.viewpoint import Sight

_LIGHT_WOODS = [(226, 200, 168), (214, 184, 146), (235, 215, 190), *furniture.WOODS]
_LAMINATES = [(238, 236, 230), (205, 205, 205), (160, 160, 162), (70, 70, 74), (225, 210, 185)]
_STONES = [(90, 85, 80), (175, 165, 150), (60, 60, 65), (205, 200, 195), (120, 95, 80)]
_THICK = 0.03
_TOP_M = 0.74  # height of a desk


def surface(random: Generator) -> Material:
    """What a top is made of: wood, laminate, stone or a cloth."""
    choice, gloss = random.random(), random.uniform(0, 0.25)
    if choice < 0.5:
        contrast = random.uniform(0.03, 0.16)
        return paint(textures.wood, gloss, color=pick(random, _LIGHT_WOODS), contrast=contrast)
    if choice < 0.75:
        return paint(textures.plain, gloss, color=pick(random, _LAMINATES), mottle=0.02)
    if choice < 0.85:
        grain = dict(mottle=random.uniform(0.1, 0.35), period=0.35, roughness=0.5)
        return paint(textures.plain, 2 * gloss, color=pick(random, _STONES), **grain)
    if choice < 0.92:
        wide = random.uniform(0.07, 0.14)
        return paint(textures.planks, gloss, color=pick(random, furniture.WOODS), width=wide)
    return furniture.fabric(random)


def table(group: Group, random: Generator) -> Sight:
    """A table with few or many things on it, with or without chairs."""
    width, depth = random.uniform(0.7, 2.2), random.uniform(0.6, 1.0)
    height = random.choice([0.42, 0.72, 0.75, 0.9], p=[0.15, 0.35, 0.4, 0.1])
    leg = furniture.timber(random)
    group.box((0, height - _THICK, -depth / 2), (width, _THICK, depth), surface(random))
    for x in (-1, 1):
        for z in (-1, 1):
            at = (x * (width / 2 - 0.06), 0, -depth / 2 + z * (depth / 2 - 0.06))
            group.box(at, (0.05, height - _THICK, 0.05), leg)
    for side in (-1, 1):
        if random.random() < 0.35 and height > 0.6:
            at = (side * (width / 2 + random.uniform(0.1, 0.4)), 0, -depth * random.random())
            furniture.chair(group.inner(at, side * np.pi / 2 + random.normal(0, 0.4)), leg)
    kinds = [things.PACKAGES, things.KITCHEN, things.OFFICE][random.choice(3, p=[0.5, 0.25, 0.25])]
    low, high = (-width / 2 + 0.1, 0.1 - depth), (width / 2 - 0.1, -0.1)
    top = group.inner((0, height, 0))
    middle = things.strew(top, random, kinds, int(random.integers(3, 22)), low, high)
    reach = np.clip(np.array([middle - 0.2, middle + 0.2]), low, high)
    (left, front), (right, back) = reach.tolist()
    return Sight(group, (left, height, front), (right, height + 0.15, back), np.pi)


def desk(group: Group, random: Generator) -> Sight:
    """An office desk against a wall: one or two screens or a laptop, and other things."""
    width, depth = random.uniform(1.1, 1.8), random.uniform(0.6, 0.85)
    group.box((0, _TOP_M - _THICK, -depth / 2), (width, _THICK, depth), surface(random))
    side = paint(textures.plain, color=pick(random, furniture.PAINTS), mottle=0.03)
    for x in (0.03 - width / 2, width / 2 - 0.03):
        group.box((x, 0, -depth / 2), (0.03, _TOP_M - _THICK, depth), side)
    top = group.inner((0, _TOP_M, 0))
    x = random.uniform(-0.2, 0.2) * width
    taken = _computer(top, random, x, depth)
    if random.random() < 0.5:
        _lamp(top.inner((-0.42 * np.sign(x) * width, 0, -0.15)), random)
        taken.append((float(-0.42 * np.sign(x) * width), -0.15, 0.1))
    low, high = (-width / 2 + 0.08, 0.08 - depth), (width / 2 - 0.08, -0.08)
    things.strew(top, random, things.OFFICE, int(random.integers(6, 26)), low, high, taken)
    if random.random() < 0.6:
        fittings.picture(group.inner((0, random.uniform(1.25, 1.5), 0)), random)
    if random.random() < 0.4:
        at, yaw = (x + random.normal(0, 0.3), 0, -depth - 0.2), np.pi + random.normal(0, 0.5)
        furniture.chair(group.inner(at, yaw), furniture.timber(random))
    return Sight(group, (-0.4 * width, _TOP_M, 0.15 - depth), (0.4 * width, 1.05, -0.1), 1.1)


def _computer(
    top: Group, random: Generator, x: float, depth: float
) -> list[tuple[float, float, float]]:
    """Screen, keyboard and mouse; returns x, z and radius of the space that they take."""
    dark = int(random.choice([30, 45, 190]))
    if random.random() < 0.3:
        _laptop(top.inner((x, 0, 0.3 - depth), random.normal(0, 0.2)), random)
        return [(x, 0.3 - depth, 0.22)]
    taken = [(x, -0.2, 0.16), (x - 0.11, 0.22 - depth, 0.12), (x + 0.11, 0.22 - depth, 0.12)]
    yaw = random.normal(0, 0.12)
    screens = [(x, yaw)]
    if random.random() < 0.3:
        screens = [(x - 0.28, yaw - 0.2), (x + 0.28, yaw + 0.2)]
        taken += [(x - 0.28, -0.2, 0.13), (x + 0.28, -0.2, 0.13)]
    for at, turned in screens:
        _monitor(top.inner((at, 0, -0.2), turned), random, dark)
    tone = textures.linear(dark, dark, dark + 2)
    keys = paint(
        textures.tiles, 0.1, color=tone, second=tone, joint=tone * 0.4, size=0.019, gap=0.004
    )
    board = top.inner((x, 0, 0.22 - depth), random.normal(0, 0.1))
    board.box((0, 0, 0), (0.44, 0.02, 0.14), furniture.metal(dark), faces={3: keys})
    board.ellipsoid((0.3, 0, 0), (0.06, 0.038, 0.11), furniture.metal(dark))
    return [*taken, (x + 0.3, 0.22 - depth, 0.06)]


def _monitor(group: Group, random: Generator, dark: int) -> None:
    width = random.uniform(0.42, 0.6)
    height, foot = width * random.choice([0.56, 0.62, 0.75]), random.uniform(0.08, 0.16)
    case = furniture.metal(dark)
    group.box((0, 0, 0), (0.24, 0.015, 0.18), case)
    group.box((0, 0, 0.03), (0.05, foot + 0.15, 0.03), case)
    half = (width / 2, height / 2)
    if random.random() < 0.6:
        shown = paint(prints.screen, 0.2, 2.0, half=half, seed=int(random.integers(10000)))
    else:
        shown = paint(textures.plain, 0.6, color=textures.linear(28, 30, 34), mottle=0.1)
    lean = (random.uniform(0, 0.12), 0.0)
    group.box((0, foot, -0.01), (width, height, 0.035), case, lean=lean)
    inner = (width - 0.03, height - 0.03, 0.035)
    group.box((0, foot + 0.015, -0.0115), inner, shown, lean=lean, casts=False)


def _laptop(group: Group, random: Generator) -> None:
    tone = int(random.choice([35, 60, 180]))
    case, ink = furniture.metal(tone), textures.linear(40, 40, 42)
    keys = paint(
        textures.tiles, color=ink, second=ink, joint=textures.linear(tone, tone, tone), size=0.018
    )
    group.box((0, 0, 0), (0.34, 0.018, 0.235), case)
    group.box((0, 0.018, 0.04), (0.3, 0.001, 0.11), keys, casts=False)
    shown = paint(prints.screen, 0.3, 2.0, half=(0.17, 0.11), seed=int(random.integers(10000)))
    lid = group.inner((0, 0.01, 0.125))
    lid.box((0, 0, 0.025), (0.34, 0.23, 0.008), case, lean=(0.25, 0), faces={4: shown})


def _lamp(group: Group, random: Generator) -> None:
    """A desk lamp whose head hangs over the top."""
    metal = furniture.metal(60) if random.random() < 0.5 else furniture.enamel(random)
    group.round((0, 0, 0), 0.02, 0.08, 0.075, metal)
    group.box((0, 0.02, 0), (0.015, 0.4, 0.015), metal)
    group.box((0, 0.41, -0.09), (0.015, 0.015, 0.2), metal, casts=False)
    group.round((0, 0.35, -0.2), 0.1, 0.08, 0.035, metal, casts=False)


def worktop(group: Group, random: Generator) -> Sight:
    """A kitchen's worktop between units below and above, tiles behind it."""
    width, color = random.uniform(1.4, 2.6), pick(random, furniture.PAINTS + furniture.WOODS)
    fronts = [
        paint(textures.panels, 0.15, color=color, half=(width / 2, half), columns=int(width / 0.5),
              rows=1)
        for half in (0.41, 0.33)
    ]
    plain = paint(textures.plain, 0.1, color=color)
    group.box((0, 0.05, -0.29), (width, 0.82, 0.58), plain, faces={4: fronts[0]})
    group.box((0, 0.87, -0.31), (width, 0.04, 0.62), surface(random))
    group.box((0, 1.45, -0.17), (width, 0.66, 0.34), plain, faces={4: fronts[1]})
    if random.random() < 0.6:
        white = pick(random, fittings.WALLS)
        size = random.choice([0.1, 0.15, 0.2])
        tiles = dict(color=white, second=white * 0.95, joint=white * 0.7, size=size)
        group.box((0, 0.91, -0.004), (width, 0.54, 0.008), paint(textures.tiles, 0.3, **tiles))
    top = group.inner((0, 0.91, 0))
    taken = []
    if random.random() < 0.5:
        x = random.uniform(-0.3, 0.3) * width
        _hob(top.inner((x, 0, -0.32)), random)
        taken = [(x - 0.14, -0.32, 0.12), (x + 0.14, -0.32, 0.12)]
    low, high = (-width / 2 + 0.1, -0.52), (width / 2 - 0.1, -0.1)
    things.strew(top, random, things.KITCHEN, int(random.integers(8, 30)), low, high, taken)
    return Sight(group, (-0.4 * width, 0.91, -0.45), (0.4 * width, 1.15, -0.1), 1.1)


def _hob(group: Group, random: Generator) -> None:
    """A hob with four plates and perhaps a pot."""
    group.box((0, 0, 0), (0.56, 0.006, 0.46), furniture.metal(30))
    for x in (-0.14, 0.14):
        for z in (-0.11, 0.11):
            group.round((x, 0.006, z), 0.004, 0.085, 0.085, furniture.metal(55), casts=False)
    if random.random() < 0.6:
        at = (random.choice([-0.14, 0.14]), 0.01, random.choice([-0.11, 0.11]))
        vessels.pot(group.inner(at, random.uniform(0, 3)), random)
