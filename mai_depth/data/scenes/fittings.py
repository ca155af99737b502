"""The fittings of a room: walls, floors, doors, windows, pictures.

Doors, windows and pictures hang on the wall z = 0 of their group and face -z.
"""

import numpy as np
from numpy.random import Generator

from mai_depth.data.scenes import furniture
from mai_depth.data.scenes import textures
from mai_depth.data.scenes.build import Group
from mai_depth.data.scenes.build import paint
from mai_depth.data.scenes.build import pick
from mai_depth.data.scenes.solids import Material
from mai_depth.data.scenes.solids import Solid

WALLS = [
    (235, 230, 220),
    (225, 228, 230),
    (215, 200, 170),
    (190, 205, 200),
    (205, 190, 190),
    (160, 175, 190),
    (240, 238, 235),
    (200, 205, 175),
    (180, 120, 95),
    (120, 140, 150),
]


def wall(random: Generator, height: float) -> Material:
    """Paint, stripes, bricks or tiles, with a skirting board."""
    color = pick(random, WALLS)
    choice = random.random()
    skirting = pick(random, [(240, 238, 232), (120, 85, 60), (70, 65, 60)])
    if choice < 0.5:
        return paint(
            textures.wallpaper,
            color=color,
            second=color,
            width=1.0,
            skirting=skirting,
            bottom=-height / 2,
        )
    if choice < 0.68:
        second = color * np.float32(random.uniform(0.7, 0.9))
        return paint(
            textures.wallpaper,
            color=color,
            second=second,
            skirting=skirting,
            width=random.uniform(0.05, 0.25),
            bottom=-height / 2,
        )
    if choice < 0.84:
        brick = pick(random, [(150, 80, 60), (170, 110, 85), (220, 215, 205)])
        return paint(textures.bricks, color=brick, joint=textures.linear(180, 172, 160))
    size = random.choice([0.15, 0.2, 0.3])
    return paint(
        textures.tiles,
        0.25,
        color=color,
        second=color * 0.9,
        size=size,
        joint=textures.linear(150, 148, 144),
    )


def floor(random: Generator) -> Material:
    """Boards, tiles or carpet."""
    choice = random.random()
    if choice < 0.45:
        return paint(
            textures.planks,
            random.uniform(0, 0.3),
            color=pick(random, furniture.WOODS),
            width=random.uniform(0.08, 0.2),
            length=random.uniform(0.9, 2.0),
        )
    if choice < 0.8:
        color = pick(random, [(200, 195, 185), (170, 160, 150), (120, 118, 115), (190, 160, 130)])
        second = color * np.float32(random.choice([1.0, 1.0, 0.55, 0.3]))
        return paint(
            textures.tiles,
            random.uniform(0, 0.4),
            color=color,
            second=second,
            joint=color * 0.5,
            size=random.choice([0.2, 0.3, 0.45, 0.6]),
        )
    color = pick(random, furniture.CLOTHS)
    return paint(textures.plain, color=color, mottle=0.15, period=0.6, roughness=0.3)


def door(group: Group, random: Generator) -> None:
    """A panelled door in its frame."""
    color = pick(random, furniture.WOODS + furniture.PAINTS)
    leaf = paint(textures.panels, 0.1, color=color, half=(0.43, 1.0), columns=1, rows=2)
    frame = paint(textures.plain, color=color * 0.85)
    group.box((0, 0, -0.02), (0.86, 2.0, 0.03), frame, faces={4: leaf})
    for x in (-0.46, 0.46):
        group.box((x, 0, -0.03), (0.07, 2.06, 0.06), frame)
    group.box((0, 2.0, -0.03), (0.99, 0.07, 0.06), frame)


def window(group: Group, random: Generator, height: float) -> Solid:
    """A bright pane with a sill, perhaps curtains and a radiator; returns the pane."""
    width, tall = random.uniform(0.9, 1.5), random.uniform(1.0, 1.4)
    bottom = min(0.9, height - tall - 0.2)
    frame = pick(random, furniture.PAINTS)
    view = paint(
        textures.window,
        0.0,
        random.uniform(1.5, 3.5),
        half=(width / 2, tall / 2),
        frame=frame * 0.4,
        bright=1.0,
        panes=int(random.integers(1, 4)),
        seed=int(random.integers(1000)),
    )
    group.box((0, bottom, -0.02), (width, tall, 0.04), view, casts=False)
    pane = group.solids[-1]
    sill = paint(textures.plain, 0.1, color=frame)
    group.box((0, bottom - 0.04, -0.08), (width + 0.15, 0.04, 0.17), sill)
    if random.random() < 0.5:
        cloth = paint(textures.curtain, color=pick(random, furniture.CLOTHS))
        for x in (-1, 1):
            at = (x * (width / 2 + 0.12), 0.05, -0.1)
            group.box(at, (random.uniform(0.25, 0.45), bottom + tall + 0.05, 0.06), cloth)
        group.rod((0, bottom + tall + 0.12, -0.1), width + 0.9, 0.013, furniture.metal())
    elif random.random() < 0.6:
        white = textures.linear(238, 236, 230)
        ribs = paint(textures.wallpaper, 0.1, color=white, second=white * 0.6, width=0.03)
        group.box((0, 0.12, -0.07), (width * 0.8, 0.55, 0.1), ribs)
    return pane


def picture(group: Group, random: Generator) -> None:
    """A framed picture; the middle of its lower edge is at the origin."""
    width, height = random.uniform(0.3, 1.1), random.uniform(0.3, 0.7)
    frame = pick(random, [*furniture.WOODS, (30, 30, 30), (235, 235, 235)])
    art = paint(
        textures.painting,
        0.15,
        half=(width / 2, height / 2),
        frame=frame,
        seed=int(random.integers(1000)),
    )
    group.box((0, 0, -0.015), (width, height, 0.03), art)
