"""Shelves seen from near: rows of single books, goods in a shop, household things."""

import numpy as np
from numpy.random import Generator

from mai_depth.data.scenes import furniture
from mai_depth.data.scenes import prints
from mai_depth.data.scenes import things
from mai_depth.data.scenes.build import Group
from mai_depth.data.scenes.build import paint
from mai_depth.data.scenes.build import pick
from mai_depth.data.scenes.viewpoint import Sight

_BACKS = [*furniture.CLOTHS, *furniture.BRIGHT, (120, 40, 40), (40, 60, 50), (230, 225, 210)]
_INKS = [(240, 235, 220), (30, 30, 30), (215, 180, 90)]
_BOARD = 0.02
_DEPTH = 0.28
_GOODS = (things.carton, things.can, things.milk, things.jar, things.bottle, things.tin)


def shelf(group: Group, random: Generator) -> Sight:
    """A bookcase, or boards on the wall, filled."""
    width, step = random.uniform(0.7, 1.5), random.uniform(0.3, 0.4)
    wood, count = furniture.timber(random), int(random.integers(2, 6))
    bottom = random.uniform(0.7, 1.1) if count < 4 and random.random() < 0.6 else 0.05
    fill = [_books, _goods, _mixed][random.choice(3, p=[0.5, 0.25, 0.25])]
    for i in range(count + 1):
        board = group.inner((0, bottom + i * step, 0))
        board.box((0, 0, -_DEPTH / 2), (width, _BOARD, _DEPTH), wood)
        if i < count:
            fill(board.inner((0, _BOARD, 0)), random, width - 0.05, step - _BOARD)
    high = count * step + _BOARD
    if bottom < 0.1:
        group.box((0, bottom, -0.004), (width, high, 0.008), wood)
    for x in (-1, 1):
        group.box((x * width / 2, bottom, -_DEPTH / 2), (0.02, high, _DEPTH), wood)
    if bottom + high < 1.7:
        kinds = things.OFFICE if random.random() < 0.5 else things.KITCHEN
        ends = (0.1 - width / 2, -0.2), (width / 2 - 0.1, -0.1)
        things.strew(group.inner((0, bottom + high, 0)), random, kinds, 8, *ends)
    low = max(bottom, 0.4)
    top = max(min(bottom + high, 1.8), low + 0.1)
    return Sight(group, (-0.4 * width, low, -_DEPTH), (0.4 * width, top, -0.1), 0.9)


def _books(board: Group, random: Generator, width: float, free: float) -> None:
    """A row of books from one side, perhaps a leaning one, and things in the space that is left."""
    x, end = -width / 2, (random.uniform(0.4, 1.0) - 0.5) * width
    usual = random.uniform(0.5, 0.8) * free
    while x < end:
        thick = random.uniform(0.008, 0.05)
        high = float(np.clip(usual * random.normal(1, 0.12), 0.4 * free, 0.95 * free))
        _book(board, random, x + thick / 2, (thick, high, random.uniform(0.12, 0.2)))
        x += thick + 0.001
    if width / 2 - x > 0.2:
        lean, thick, high = random.uniform(0.15, 0.35), random.uniform(0.015, 0.04), usual
        # Its lower left corner stands on the board, its upper one leans against the row.
        rise = (thick * np.sin(lean) + high * np.cos(lean) - high) / 2
        across = (high * np.sin(lean) + thick * np.cos(lean)) / 2
        _book(board, random, x + across, (thick, high, 0.16), rise, lean)
        low = x + 2 * across + 0.08
        if low < width / 2 - 0.1:
            things.strew(board, random, things.OFFICE, 3, (low, -0.2), (width / 2 - 0.08, -0.1))


def _book(board: Group, random: Generator, x: float, size, rise=0.0, lean=0.0) -> None:
    color, ink = pick(random, _BACKS), pick(random, _INKS)
    seed = int(random.integers(1000))
    half = (size[0] / 2, size[1] / 2)
    cover = paint(prints.back, 0.1, color=color, ink=ink, half=half, seed=seed)
    at = (x, rise, -0.26 + size[2] / 2 + random.uniform(0, 0.03))
    board.box(at, size, cover, lean=(0, lean), casts=False)


def _goods(board: Group, random: Generator, width: float, free: float) -> None:
    """Several of the same side by side, as in a shop."""
    x = -width / 2
    while x < width / 2 - 0.15:
        kind, seed = _GOODS[random.integers(len(_GOODS))], int(random.integers(10000))
        pitch = 2.1 * things.RADII[kind]
        for _ in range(random.integers(2, 6)):
            if x + pitch > width / 2:
                return
            at = (x + pitch / 2, 0, random.normal(-0.13, 0.015))
            kind(board.inner(at, random.normal(0, 0.08)), np.random.default_rng(seed))
            x += pitch


def _mixed(board: Group, random: Generator, width: float, free: float) -> None:
    """Kitchen or office things."""
    kinds = things.KITCHEN if random.random() < 0.5 else things.OFFICE
    count = int(random.integers(3, 14))
    things.strew(board, random, kinds, count, (0.1 - width / 2, -0.18), (width / 2 - 0.1, -0.1))
