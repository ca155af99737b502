"""Furniture made of boxes, ellipsoids and frustums.

Each piece stands on the floor of its group, its back at z = 0 and its front towards -z, with x
along the wall.
"""

import numpy as np
from numpy.random import Generator

from mai_depth.data.scenes import textures
from mai_depth.data.scenes.build import Group
from mai_depth.data.scenes.build import leafy
from mai_depth.data.scenes.build import paint
from mai_depth.data.scenes.build import pick
from mai_depth.data.scenes.solids import Material

WOODS = [(150, 105, 65), (190, 150, 105), (110, 72, 45), (215, 190, 155), (85, 60, 45)]
PAINTS = [(235, 232, 225), (240, 240, 240), (180, 190, 190), (90, 105, 115), (200, 190, 165)]
CLOTHS = [
    (110, 115, 125),
    (150, 60, 50),
    (70, 90, 120),
    (190, 175, 150),
    (80, 100, 75),
    (60, 60, 66),
    (200, 160, 70),
    (130, 100, 120),
    (220, 215, 205),
]
BRIGHT = [
    (200, 50, 40),
    (40, 90, 170),
    (230, 180, 40),
    (60, 140, 80),
    (235, 235, 230),
    (40, 40, 45),
]


def timber(random: Generator) -> Material:
    """Wood or painted wood."""
    if random.random() < 0.7:
        return paint(textures.wood, 0.08, color=pick(random, WOODS))
    return paint(textures.plain, 0.1, color=pick(random, PAINTS), mottle=0.03)


def fabric(random: Generator) -> Material:
    """Cloth, plain or plaid."""
    check = random.choice([0.0, 0.0, 0.12, 0.25])
    colors = pick(random, CLOTHS), pick(random, CLOTHS)
    return paint(textures.cloth, color=colors[0], second=colors[1], check=check)


def enamel(random: Generator, gloss: float = 0.5) -> Material:
    """Bright, glossy colour."""
    return paint(textures.plain, gloss, color=pick(random, BRIGHT), mottle=0.02)


def metal(tone: int = 70) -> Material:
    """Dark gray metal."""
    return paint(textures.plain, 0.5, color=textures.linear(tone, tone, tone + 3), mottle=0.03)


def clutter(group: Group, random: Generator, width: float, depth: float, count: int) -> None:
    """Small things on a table top or on the floor: boxes, books, cups, balls, bottles."""
    for _ in range(count):
        x, z = random.uniform(-0.45, 0.45) * width, random.uniform(-0.4, 0.4) * depth
        here = group.inner((x, 0, z), random.uniform(0, 3))
        kind = random.integers(5)
        if kind == 0:
            height = random.uniform(0.02, 0.05)
            here.box((0, 0, 0), (0.17, height, 0.24), enamel(random, 0.1))
        elif kind == 1:
            here.round((0, 0, 0), random.uniform(0.08, 0.12), 0.035, 0.043, enamel(random))
        elif kind == 2:
            size = random.uniform(0.07, 0.2)
            here.ellipsoid((0, 0, 0), (size,) * 3, enamel(random))
        elif kind == 3:
            height = random.uniform(0.16, 0.26)
            here.round((0, 0, 0), height, 0.037, 0.034, enamel(random, 0.8))
            here.round((0, height, 0), 0.08, 0.03, 0.013, enamel(random, 0.8))
        else:
            wide, high, deep = random.uniform(0.08, 0.25, 3)
            here.box((0, 0, 0), (wide, high, deep), timber(random))


def table(group: Group, random: Generator, width: float, depth: float, height: float) -> None:
    """A table with four legs and things on it, centred on z = -depth / 2."""
    wood, middle = timber(random), -depth / 2
    group.box((0, height - 0.035, middle), (width, 0.035, depth), wood)
    for x in (-1, 1):
        for z in (-1, 1):
            at = (x * (width / 2 - 0.06), 0, middle + z * (depth / 2 - 0.06))
            if width > 0.9:
                group.box(at, (0.06, height - 0.035, 0.06), wood)
            else:
                group.round(at, height - 0.035, 0.02, 0.03, wood)
    top = group.inner((0, height, middle))
    clutter(top, random, width, depth, int(random.integers(1, 5)))


def chair(group: Group, material: Material) -> None:
    """A chair whose back is at z = 0."""
    for x in (-0.19, 0.19):
        group.box((x, 0, -0.04), (0.04, 0.95, 0.04), material)
        group.box((x, 0, -0.42), (0.04, 0.45, 0.04), material)
    group.box((0, 0.45, -0.23), (0.44, 0.04, 0.44), material)
    group.box((0, 0.62, -0.035), (0.36, 0.3, 0.02), material)


def dining(group: Group, random: Generator) -> None:
    """A table with chairs around it."""
    width, depth = random.uniform(1.0, 1.8), random.uniform(0.7, 0.95)
    table(group.inner((0, 0, 0)), random, width, depth, 0.75)
    wood = timber(random)
    for side in (-1, 1):
        for x in (-0.27, 0.27) if width > 1.2 else (0.0,):
            if random.random() < 0.8:
                at = (x * width, 0, -depth / 2 + side * (depth / 2 + random.uniform(0.1, 0.35)))
                yaw = (0 if side > 0 else np.pi) + random.normal(0, 0.25)
                chair(group.inner(at, yaw), wood)


def sofa(group: Group, random: Generator) -> None:
    """A sofa or an armchair with cushions."""
    width, cover = random.choice([0.95, 1.7, 2.1]), fabric(random)
    group.box((0, 0.06, -0.45), (width, 0.36, 0.85), cover)
    group.box((0, 0.42, -0.12), (width, random.uniform(0.35, 0.5), 0.24), cover)
    for x in (-1, 1):
        group.box((x * (width / 2 - 0.09), 0.06, -0.45), (0.18, 0.55, 0.88), cover)
    seats = max(1, int(width / 0.7))
    for i in range(seats):
        x = (i + 0.5 - seats / 2) * (width - 0.36) / seats
        group.box((x, 0.42, -0.53), ((width - 0.38) / seats, 0.1, 0.64), cover)
        if random.random() < 0.6:
            pillow = group.inner((x, 0.5, -0.33), random.normal(0, 0.2))
            pillow.ellipsoid((0, 0, 0), (0.42, 0.4, 0.2), fabric(random))


def bed(group: Group, random: Generator) -> None:
    """A bed, its head at z = 0."""
    width, wood = random.choice([0.95, 1.45, 1.75]), timber(random)
    group.box((0, 0, -0.03), (width + 0.08, random.uniform(0.7, 1.1), 0.06), wood)
    group.box((0, 0.1, -1.06), (width + 0.04, 0.22, 2.0), wood)
    group.box(
        (0, 0.3, -1.06),
        (width, 0.22, 1.96),
        paint(textures.plain, color=pick(random, PAINTS), mottle=0.03),
    )
    blanket = random.uniform(1.1, 1.5)
    group.box((0, 0.3, -2.05 + blanket / 2), (width + 0.05, 0.26, blanket), fabric(random))
    for x in (-0.25, 0.25) if width > 1.2 else (0.0,):
        group.ellipsoid(
            (x * width, 0.47, -0.32),
            (0.62, 0.2, 0.42),
            paint(textures.cloth, color=pick(random, PAINTS), second=pick(random, PAINTS)),
        )


def bookcase(group: Group, random: Generator) -> None:
    """Shelves with books and things."""
    width, height = random.uniform(0.7, 1.2), random.uniform(1.2, 2.2)
    wood, shelves = timber(random), int(height / 0.36)
    group.box((0, 0, -0.01), (width, height, 0.02), wood)
    for x in (-1, 1):
        group.box((x * (width / 2 - 0.01), 0, -0.15), (0.022, height, 0.3), wood)
    step = (height - 0.05) / shelves
    for i in range(shelves + 1):
        group.box((0, 0.02 + i * step, -0.15), (width - 0.02, 0.022, 0.3), wood)
        if i == shelves:
            break
        free = step - 0.06
        if random.random() < 0.75:
            filled = random.uniform(0.5, 0.98) * (width - 0.05)
            x = random.choice([-1, 1]) * (width - 0.05 - filled) / 2
            half, seed = (filled / 2, free / 2), int(random.integers(1000))
            backs = paint(textures.books, 0.05, half=half, seed=seed)
            group.box((x, 0.042 + i * step, -0.14), (filled, free, 0.19), backs)
        else:
            shelf = group.inner((0, 0.042 + i * step, -0.15))
            clutter(shelf, random, width * 0.8, 0.1, 2)


def cupboard(group: Group, random: Generator) -> None:
    """A wardrobe or chest with panelled fronts."""
    width, height = random.uniform(0.6, 1.8), random.choice([0.8, 1.0, 1.9, 2.1])
    depth = random.uniform(0.4, 0.6)
    color = pick(random, WOODS + PAINTS)
    fronts = paint(
        textures.panels,
        0.1,
        color=color,
        half=(width / 2, height / 2),
        columns=max(1, int(width / 0.45)),
        rows=1 if height > 1.5 else 3,
    )
    side = paint(textures.wood, 0.08, color=color)
    group.box((0, 0, -depth / 2), (width, height, depth), side, faces={4: fronts})
    if height < 1.5:
        clutter(group.inner((0, height, -depth / 2)), random, width, depth, 3)


def kitchen(group: Group, random: Generator) -> None:
    """A row of units with a worktop, and cupboards above."""
    width, color = random.uniform(1.6, 3.2), pick(random, PAINTS + WOODS)
    columns = int(width / 0.55)
    low = paint(textures.panels, 0.15, color=color, half=(width / 2, 0.41), columns=columns, rows=1)
    high = paint(
        textures.panels, 0.15, color=color, half=(width / 2, 0.33), columns=columns, rows=1
    )
    plain = paint(textures.plain, 0.1, color=color)
    group.box((0, 0.05, -0.29), (width, 0.82, 0.58), plain, faces={4: low})
    group.box((0, 0.87, -0.31), (width, 0.04, 0.62), timber(random))
    group.box((0, 1.45, -0.17), (width, 0.66, 0.34), plain, faces={4: high})
    clutter(group.inner((0, 0.91, -0.3)), random, width, 0.4, 5)


def desk(group: Group, random: Generator) -> None:
    """A desk with a screen and a chair."""
    width = random.uniform(1.1, 1.7)
    table(group, random, width, 0.7, 0.73)
    screen = paint(
        textures.plain,
        0.7,
        random.choice([0.0, 6.0]),
        color=textures.linear(40, 60, 90),
        mottle=0.3,
        period=0.5,
    )
    x = random.uniform(-0.2, 0.2) * width
    group.round((x, 0.73, -0.2), 0.02, 0.12, 0.12, metal(40))
    group.round((x, 0.75, -0.2), 0.12, 0.02, 0.02, metal(40))
    group.box((x, 0.84, -0.2), (0.55, 0.33, 0.03), metal(35), faces={4: screen})
    seat = group.inner((x + random.normal(0, 0.2), 0, -0.95), np.pi + random.normal(0, 0.5))
    chair(seat, timber(random))


def lamp(group: Group, random: Generator) -> None:
    """A floor lamp."""
    group.round((0, 0, -0.25), 0.03, 0.15, 0.14, metal(50))
    group.round((0, 0.03, -0.25), 1.35, 0.012, 0.012, metal(50))
    shade = paint(textures.plain, 0.0, random.choice([0.6, 2.0]), color=pick(random, PAINTS))
    group.round((0, 1.36, -0.25), 0.32, 0.22, 0.14, shade, casts=False)


def plant(group: Group, random: Generator) -> None:
    """A pot with a bush."""
    pot = paint(
        textures.plain, 0.1, color=pick(random, [(170, 95, 65), (230, 230, 225), (70, 70, 75)])
    )
    group.round((0, 0, -0.3), 0.3, 0.12, 0.17, pot)
    green = paint(textures.leaves, 0.1, color=pick(random, [(70, 110, 50), (60, 95, 60)]))
    group.round((0, 0.3, -0.3), 0.5, 0.015, 0.01, metal(60))
    for _ in range(6):
        x, y, z = random.normal(0, (0.14, 0.16, 0.14))
        size = random.uniform(0.25, 0.45, 3)
        mask = leafy(0.55, 0.02, int(random.integers(1000)))
        group.ellipsoid((x, 0.6 + y, -0.3 + z), tuple(size), green, mask=mask)


def television(group: Group, random: Generator) -> None:
    """A low board with a screen on it."""
    width = random.uniform(1.2, 1.8)
    color = pick(random, WOODS + PAINTS)
    fronts = paint(textures.panels, 0.1, color=color, half=(width / 2, 0.22), columns=3, rows=1)
    side = paint(textures.wood, color=color)
    group.box((0, 0.05, -0.2), (width, 0.44, 0.4), side, faces={4: fronts})
    screen = paint(textures.plain, 0.5, color=textures.linear(28, 30, 34), mottle=0.1)
    group.box((0, 0.56, -0.18), (width * 0.75, width * 0.42, 0.05), metal(30), faces={4: screen})
    group.box((0, 0.49, -0.18), (0.4, 0.08, 0.15), metal(30))


def cartons(group: Group, random: Generator) -> None:
    """A pile of cardboard boxes."""
    brown = paint(
        textures.wood, color=pick(random, [(190, 150, 105), (170, 130, 90)]), contrast=0.05
    )
    height = 0.0
    for _ in range(random.integers(1, 4)):
        size = random.uniform((0.35, 0.2, 0.3), (0.6, 0.45, 0.45))
        here = group.inner((random.normal(0, 0.03), height, -0.35), random.normal(0, 0.2))
        here.box((0, 0, 0), tuple(size), brown)
        height += size[1]
