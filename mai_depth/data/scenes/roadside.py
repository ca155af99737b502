"""What stands on and beside a road: cars, trees, lanterns, signs, bins, people, hedges."""

from numpy.random import Generator

from mai_depth.data.scenes import textures
from mai_depth.data.scenes.build import Group
from mai_depth.data.scenes.build import leafy
from mai_depth.data.scenes.build import paint
from mai_depth.data.scenes.build import pick
from mai_depth.data.scenes.solids import Material
from mai_depth.data.scenes.solids import Solid

CARS = [
    (200, 205, 210),
    (40, 42, 46),
    (110, 115, 120),
    (150, 25, 30),
    (30, 60, 120),
    (235, 235, 235),
    (60, 90, 70),
    (190, 150, 60),
]
GREENS = [(70, 105, 45), (85, 115, 50), (55, 90, 50), (105, 120, 50)]

_DETAIL_M = 25.0  # bodies farther than this from the start of the street have fewer parts


def car(group: Group, random: Generator) -> None:
    """A car along z of the group, its front at +z."""
    body = paint(textures.plain, 0.7, color=pick(random, CARS), mottle=0.01)
    glass = paint(textures.plain, 0.8, color=textures.linear(38, 46, 54), mottle=0.25, period=3.0)
    length, width = random.uniform(3.7, 4.7), random.uniform(1.66, 1.84)
    low, tall = random.uniform(0.66, 0.78), random.uniform(0.5, 0.75)
    bonnet = ((0.0, 0.5, 0.866), 0.30 * tall + 0.40 * length)
    group.box((0, 0.22, 0), (width, low - 0.1, length), body, cuts=(bonnet,))
    cabin = length * random.uniform(0.5, 0.62)
    cuts = [((0.0, 0.6, sign * 0.8), 0.8 * cabin / 2 - 0.04) for sign in (-1, 1)]
    cuts += [((sign * 0.94, 0.34, 0.0), 0.94 * (width / 2 - 0.05)) for sign in (-1, 1)]
    at = (0, low + 0.12, -0.06 * length)
    group.box(at, (width - 0.06, tall, cabin), glass, cuts=tuple(cuts), faces={3: body})
    _wheels(group, length, width)
    if group.at[2] < _DETAIL_M:
        pillar = tuple((normal, limit + 0.012) for normal, limit in cuts)
        size = (width - 0.05, tall, 0.09)
        group.box((0, at[1] + 0.02, at[2]), size, body, cuts=pillar, casts=False)
        _plates(group, length, width, low - 0.12)


def _wheels(group: Group, length: float, width: float) -> None:
    tyre = paint(textures.plain, color=textures.linear(28, 28, 30))
    hub = paint(textures.plain, 0.5, color=textures.linear(165, 168, 172))
    for x in (-1, 1):
        for z in (-0.31, 0.31):
            group.rod((x * (width / 2 - 0.1), 0.31, z * length), 0.22, 0.31, tyre)
            if group.at[2] < _DETAIL_M:
                group.rod((x * (width / 2 - 0.08), 0.31, z * length), 0.2, 0.19, hub, casts=False)


def _plates(group: Group, length: float, width: float, height: float) -> None:
    plate = paint(textures.plain, color=textures.linear(235, 235, 225))
    for z, color in ((length / 2, (245, 240, 220)), (-length / 2, (190, 20, 20))):
        lamp = paint(textures.plain, 0.6, color=textures.linear(*color))
        for x in (-1, 1):
            at = (x * (width / 2 - 0.22), height, z)
            group.box(at, (0.3, 0.13, 0.06), lamp, casts=False)
        group.box((0, 0.42, z), (0.5, 0.11, 0.05), plate, casts=False)


def tree(group: Group, random: Generator) -> None:
    """A young tree beside a road."""
    bark = paint(textures.wood, color=pick(random, [(95, 80, 65), (120, 110, 100)]), contrast=0.4)
    height = random.uniform(2.0, 3.4)
    group.round((0, 0, 0), height + 0.8, random.uniform(0.12, 0.22), 0.08, bark)
    green = paint(textures.leaves, color=pick(random, GREENS, 0.2))
    spread = random.uniform(1.0, 1.7)
    for _ in range(8 if group.at[2] < _DETAIL_M else 4):
        x, y, z = random.normal(0, 0.5, 3) * spread
        size = spread * random.uniform(0.9, 1.6, 3)
        mask = leafy(0.62, 0.09, int(random.integers(1000)))
        group.ellipsoid((x, height + 0.4 + 0.8 * y, z), tuple(size), green, mask=mask)


def lantern(group: Group, random: Generator, side: int) -> None:
    """A street lantern that reaches over the road; `side` is -1 or 1."""
    gray = paint(textures.plain, 0.3, color=textures.linear(95, 100, 100))
    height = random.uniform(4.5, 7.5)
    group.round((0, 0, 0), height, 0.09, 0.05, gray)
    group.rod((-side * 0.6, height, 0), 1.3, 0.04, gray)
    group.box((-side * 1.3, height - 0.06, 0), (0.6, 0.12, 0.22), gray)


def sign(group: Group, random: Generator) -> None:
    """A sign on a pole."""
    gray = paint(textures.plain, 0.3, color=textures.linear(140, 142, 145))
    group.round((0, 0, 0), 2.7, 0.03, 0.03, gray)
    color = textures.linear(*[(190, 30, 30), (30, 70, 160), (240, 200, 40)][random.integers(3)])
    face = paint(
        textures.painting, 0.2, half=(0.32, 0.32), frame=color, seed=int(random.integers(99))
    )
    group.box((0, 2.1, -0.04), (0.62, 0.62, 0.02), gray, faces={4: face})


def dustbin(group: Group, random: Generator) -> None:
    """A dustbin."""
    color = paint(
        textures.plain, 0.2, color=pick(random, [(50, 90, 60), (60, 65, 70), (40, 60, 110)])
    )
    group.box((0, 0.05, 0), (0.58, 0.95, 0.6), color)
    group.box((0, 1.0, 0), (0.62, 0.06, 0.66), color)


def person(group: Group, random: Generator) -> None:
    """A person who stands or walks."""
    cloth, trousers = (
        paint(textures.cloth, color=pick(random, CARS), second=pick(random, CARS)) for _ in range(2)
    )
    skin = paint(
        textures.plain, 0.05, color=pick(random, [(225, 180, 150), (140, 95, 70), (90, 60, 45)])
    )
    hair = paint(textures.plain, color=pick(random, [(50, 35, 25), (120, 85, 50), (30, 28, 26)]))
    tall = random.uniform(0.9, 1.08)
    for x, z in ((-0.09, 0.1), (0.09, -0.1)):
        group.round((x, 0, z * 0.6), 0.86 * tall, 0.065, 0.09, trousers)
        group.ellipsoid((x, 0, z * 0.6 + 0.06), (0.11, 0.09, 0.27), hair)
        group.ellipsoid((2.6 * x, 0.78 * tall, -z * 0.5), (0.11, 0.66, 0.12), cloth)
    group.round((0, 0.82 * tall, 0), 0.6 * tall, 0.16, 0.19, cloth)
    group.ellipsoid((0, 1.3 * tall, 0), (0.42, 0.22, 0.26), cloth)
    group.ellipsoid((0, 1.46 * tall, 0.01), (0.17, 0.25, 0.21), skin)
    group.ellipsoid((0, 1.53 * tall, -0.02), (0.19, 0.2, 0.22), hair)


def hedge(solids: list[Solid], random: Generator, x: float) -> None:
    """Pieces of hedge and fence along x."""
    green = paint(textures.leaves, color=pick(random, GREENS))
    wood = _fence(random)
    z = random.uniform(-4, 4)
    while z < 60:
        length = random.uniform(4, 12)
        at = Group(solids, (x, 0.05, z + length / 2))
        if random.random() < 0.6:
            at.box((0, 0, 0), (0.7, random.uniform(0.8, 1.8), length), green)
        else:
            at.box((0, 0, 0), (0.06, 1.1, length), wood)
        z += length + random.choice([0.0, 0.0, 3.0])


def _fence(random: Generator) -> Material:
    color = pick(random, [(235, 232, 225), (120, 85, 60), (150, 140, 125)])
    return paint(textures.wallpaper, color=color, second=color * 0.35, width=0.07)
