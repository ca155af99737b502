"""Things that lie on table tops: packages, tins, books, papers; and how they are scattered there.

Each stands at the origin of its group.
"""

from collections.abc import Callable
from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from mai_depth.data.scenes import furniture
from mai_depth.data.scenes import prints
from mai_depth.data.scenes import textures
from mai_depth.data.scenes import vessels
from mai_depth.data.scenes.build import Group
from mai_depth.data.scenes.build import Vector
from mai_depth.data.scenes.build import paint
from mai_depth.data.scenes.build import pick
from mai_depth.data.scenes.solids import Material

_PRINTS = [
    (210, 40, 35),
    (240, 195, 40),
    (40, 110, 60),
    (35, 75, 150),
    (240, 240, 235),
    (235, 125, 40),
    (110, 60, 35),
    (120, 180, 210),
    (35, 35, 40),
    (150, 60, 120),
    (225, 210, 180),
]
_COVERS = [*_PRINTS, *furniture.CLOTHS]

Thing = Callable[[Group, Generator], None]


def labelled(random: Generator, half: tuple[float, float], colors, gloss: float) -> Material:
    """The print on one face of a package; `half` is half its width and height."""
    seed = int(random.integers(10000))
    return paint(prints.label, gloss, half=half, colors=colors, seed=seed)


def printed_box(group: Group, random: Generator, size: Vector, at: Vector = (0, 0, 0)) -> None:
    """A package of the given size, printed on all sides."""
    colors = [pick(random, _PRINTS) for _ in range(4)]
    gloss = random.uniform(0.05, 0.3)
    width, height, depth = (value / 2 for value in size)
    front = labelled(random, (width, height), colors, gloss)
    side = labelled(random, (depth, height), colors, gloss)
    top = labelled(random, (width, depth), colors, gloss)
    group.box(at, size, front, faces={0: side, 1: side, 2: top, 3: top})


def carton(group: Group, random: Generator) -> None:
    """A package of cereal, tea or tissues, standing or lying."""
    kinds = [(0.19, 0.28, 0.06), (0.14, 0.08, 0.08), (0.09, 0.14, 0.05), (0.24, 0.09, 0.12)]
    size = np.array(kinds[random.integers(len(kinds))]) * random.uniform(0.8, 1.15, 3)
    if random.random() < 0.4:
        size = size[random.permutation(3)]
    printed_box(group, random, (size[0], size[1], size[2]))


def milk(group: Group, random: Generator) -> None:
    """A carton of a drink with its cap."""
    printed_box(group, random, (0.07, random.uniform(0.16, 0.22), 0.07))
    top = (0, group.solids[-1].half[1] * 2, 0.015)
    group.round(top, 0.015, 0.014, 0.014, furniture.enamel(random), casts=False)


def can(group: Group, random: Generator) -> None:
    """A can or a tube of crisps, standing or lying."""
    height, radius = random.uniform(0.08, 0.24), random.uniform(0.03, 0.05)
    colors = [pick(random, _PRINTS) for _ in range(4)]
    print_ = labelled(random, (3.0 * radius, height / 2), colors, 0.4)
    lid = furniture.metal(150) if random.random() < 0.6 else furniture.enamel(random)
    if random.random() < 0.25:
        group.rod((0, radius, 0), height, radius, print_, faces={1: lid, 2: lid})
    else:
        group.round((0, 0, 0), height, radius, radius, print_, faces={2: lid})
        group.round((0, height, 0), 0.003, radius, 0.95 * radius, lid, casts=False)


def tin(group: Group, random: Generator) -> None:
    """A flat round tin of biscuits or a plastic box with a lid."""
    radius, height = random.uniform(0.07, 0.115), random.uniform(0.045, 0.09)
    colors = [pick(random, _PRINTS) for _ in range(4)]
    round_ = labelled(random, (3.0 * radius, height / 2), colors, 0.4)
    lid = labelled(random, (radius, radius), colors, 0.4)
    group.round((0, 0, 0), height, radius, radius, round_, faces={2: lid})
    if random.random() < 0.5:
        group.round((0, 0.7 * height, 0), 0.3 * height + 1e-3, radius + 3e-3, radius + 3e-3, lid)


def bottle(group: Group, random: Generator) -> None:
    """A bottle with a label and a cap."""
    height, radius = random.uniform(0.14, 0.24), random.uniform(0.026, 0.042)
    glass = paint(
        textures.plain,
        0.8,
        color=pick(random, [(40, 60, 35), (70, 40, 20), (225, 230, 230), *furniture.BRIGHT]),
        mottle=0.03,
    )
    colors = [pick(random, _PRINTS) for _ in range(4)]
    group.round((0, 0, 0), height, radius, 0.95 * radius, glass)
    paper = labelled(random, (3.0 * radius, 0.2 * height), colors, 0.1)
    at, around = (0, 0.25 * height, 0), radius + 8e-4
    group.round(at, 0.42 * height, around, around, paper, casts=False)
    group.round((0, height, 0), 0.05, 0.9 * radius, 0.4 * radius, glass)
    group.round((0, height + 0.05, 0), 0.03, 0.42 * radius, 0.42 * radius, furniture.enamel(random))


def jar(group: Group, random: Generator) -> None:
    """A jar or a box of medicine with a lid of another colour."""
    height, radius = random.uniform(0.06, 0.13), random.uniform(0.025, 0.045)
    colors = [pick(random, _PRINTS) for _ in range(4)]
    print_ = labelled(random, (3.0 * radius, height / 2), colors, 0.4)
    group.round((0, 0, 0), height, radius, radius, print_)
    group.round((0, height, 0), 0.02, 0.92 * radius, 0.9 * radius, furniture.enamel(random))


def book(group: Group, random: Generator, height: float = 0.0) -> float:
    """One lying book; returns the height of its upper side."""
    size = random.uniform((0.12, 0.008, 0.18), (0.21, 0.045, 0.29))
    colors = [pick(random, _COVERS) for _ in range(4)]
    cover = labelled(random, (size[0] / 2, size[2] / 2), colors, 0.15)
    paper = paint(
        textures.wood, color=pick(random, [(240, 235, 220), (225, 215, 190)]), contrast=0.1
    )
    spine = paint(textures.plain, 0.1, color=colors[0], mottle=0.03)
    group.box((0, height, 0), tuple(size), paper, faces={0: spine, 2: cover, 3: cover})
    return height + size[1]


def books(group: Group, random: Generator) -> None:
    """A pile of books."""
    height = 0.0
    for _ in range(random.choice([1, 1, 2, 3, 5])):
        at = (random.normal(0, 0.01), 0, random.normal(0, 0.01))
        height = book(group.inner(at, random.normal(0, 0.25)), random, height)


def papers(group: Group, random: Generator) -> None:
    """Some overlapping sheets."""
    for i in range(random.integers(1, 5)):
        at = (random.normal(0, 0.05), 0.0006 * i, random.normal(0, 0.05))
        here = group.inner(at, random.normal(0, 0.4))
        half = (0.105, 0.1485) if random.random() < 0.7 else (0.074, 0.105)
        sheet = paint(prints.page, 0.02, half=half, seed=int(random.integers(10000)))
        here.box((0, 0, 0), (2 * half[0], 0.0006, 2 * half[1]), sheet, casts=False)


def gadget(group: Group, random: Generator) -> None:
    """A telephone, a remote control or a calculator."""
    size = random.uniform((0.045, 0.008, 0.13), (0.085, 0.022, 0.18))
    tone = int(random.choice([25, 40, 60, 190]))
    keys = paint(
        textures.tiles,
        0.3,
        color=textures.linear(tone + 30, tone + 30, tone + 32),
        second=textures.linear(tone + 30, tone + 30, tone + 32),
        joint=textures.linear(tone, tone, tone),
        size=0.012,
        gap=0.004,
    )
    group.box((0, 0, 0), tuple(size), furniture.metal(tone), faces={3: keys})


def carton_brown(group: Group, random: Generator) -> None:
    """A plain box of cardboard, wood or plastic."""
    size = random.uniform((0.08, 0.05, 0.08), (0.26, 0.2, 0.2))
    brown = paint(
        textures.wood, color=pick(random, [(190, 150, 105), (170, 130, 90)]), contrast=0.05
    )
    group.box((0, 0, 0), tuple(size), brown if random.random() < 0.5 else furniture.timber(random))


def ball(group: Group, random: Generator) -> None:
    """A ball or a soft toy."""
    size = random.uniform(0.05, 0.13)
    skin = furniture.fabric(random) if random.random() < 0.5 else furniture.enamel(random)
    group.ellipsoid((0, 0, 0), (size,) * 3, skin)
    if random.random() < 0.4:
        head = size * 0.6
        group.ellipsoid((0, 0.85 * size, 0), (head,) * 3, skin)
        for x in (-0.35, 0.35):
            group.ellipsoid((x * head, 0.85 * size + 0.75 * head, 0), (head * 0.4,) * 3, skin)


RADII: dict[Thing, float] = {
    carton: 0.12,
    milk: 0.05,
    can: 0.07,
    tin: 0.11,
    bottle: 0.045,
    jar: 0.045,
    books: 0.15,
    papers: 0.17,
    gadget: 0.08,
    carton_brown: 0.13,
    ball: 0.06,
    vessels.mug: 0.055,
    vessels.bowl: 0.105,
    vessels.plate: 0.12,
    vessels.pot: 0.13,
    vessels.fruit: 0.04,
    vessels.flowerpot: 0.08,
    vessels.pens: 0.045,
}
"""The radius of the space that a thing needs around its origin, metres."""

PACKAGES: Sequence[Thing] = (carton, carton, carton, can, tin, milk, jar, vessels.bowl, vessels.mug)
KITCHEN: Sequence[Thing] = (
    *(vessels.bowl, vessels.plate, vessels.pot, vessels.mug, vessels.fruit, vessels.fruit),
    *(bottle, jar, can, carton, milk, carton_brown),
)
OFFICE: Sequence[Thing] = (
    *(books, books, papers, papers, vessels.mug, vessels.pens, gadget, bottle, carton),
    *(vessels.flowerpot, carton_brown, can),
)
_STACKED = (carton, carton_brown, can, jar, vessels.mug, vessels.bowl, books, ball)
_FLAT = (tin, carton_brown, carton)


def strew(
    group: Group,
    random: Generator,
    kinds: Sequence[Thing],
    count: int,
    low: tuple[float, float],
    high: tuple[float, float],
    taken: Sequence[tuple[float, float, float]] = (),
) -> np.ndarray:
    """Scatters things on a table top, side by side and now and then on top of each other.

    Args:
        group: Its origin is on the top.
        random: Source of all choices.
        kinds: The kinds to choose from, keys of `RADII`.
        count: Number of things to try; those that find no room are left out.
        low: Least x and z, metres.
        high: Greatest x and z.
        taken: x, z and radius of what is there already.

    Returns:
        x and z of the point around which they lie, float64 [2].
    """
    places = list(taken)
    middle, spread = random.uniform(low, high), random.uniform(0.08, 0.5)
    for _ in range(count):
        kind = kinds[int(random.integers(len(kinds)))]
        radius = RADII[kind]
        x, z = np.clip(middle + random.normal(0, spread, 2), low, high)
        if any(np.hypot(x - a, z - b) < 0.9 * (radius + r) for a, b, r in places):
            continue
        if kind is not papers:  # other things may lie on them
            places.append((float(x), float(z), radius))
        here, first = group.inner((x, 0, z), random.uniform(0, 6.3)), len(group.solids)
        kind(here, random)
        if kind in _FLAT and random.random() < 0.3:
            top = max(solid.corners[1].max() for solid in group.solids[first:]) - here.at[1]
            _STACKED[random.integers(len(_STACKED))](here.inner((0, top, 0), 0.7), random)
    return middle
