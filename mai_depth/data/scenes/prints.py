"""What is printed on small things seen from near: labels, pages, book spines, screens.

Patterns as in `textures`: from u, v and the size of a pixel, [N] in metres, to albedo [3, N].
"""

import numpy as np

from mai_depth.data.scenes.textures import chance
from mai_depth.data.scenes.textures import linear
from mai_depth.data.scenes.textures import mix
from mai_depth.data.scenes.textures import noise
from mai_depth.data.scenes.textures import within

_ROW = 1.7  # line spacing, in heights of a letter
_INK = 0.45  # share of a letter's cell that is ink


def letters(
    u: np.ndarray, v: np.ndarray, pixel: np.ndarray, height: float, seed: int
) -> np.ndarray:
    """Rows of letter-like marks, which fade to gray rows, then to gray, as pixels grow.

    Args:
        u: [N] metres along the rows.
        v: [N] metres.
        pixel: [N] metres.
        height: Height of a letter, metres.
        seed: Another seed gives another text.

    Returns:
        How much of a pixel is ink, 0..1, [N].
    """
    across, down = u * np.float32(1 / (0.7 * height)), v * np.float32(1 / (_ROW * height))
    column, row = np.floor(across), np.floor(down)
    stroke_x, stroke_y = np.floor((across - column) * 4), np.floor((down - row) * 5 * _ROW)
    source = 0 * row + np.float32(seed)
    inside = np.float32((stroke_x < 3) & (stroke_y < 5))
    stroke = np.float32(chance(4 * column + stroke_x, 9 * row + stroke_y, source) < 0.6)
    fine = np.clip(1.5 - pixel * np.float32(4 / height), 0, 1)
    gray = np.where(stroke_y < 5, np.float32(_INK), np.float32(0))
    ink = mix(gray, stroke * inside, fine)
    ink = ink * (chance(column + 13, row, source + 1) > 0.17)  # gaps between words
    rows = np.clip(1.5 - pixel * np.float32(1.2 / height), 0, 1)
    return mix(np.full_like(u, _INK / _ROW), ink, rows)


def label(u, v, pixel, *, half, colors, seed):
    """A package's face: a band, a title, a picture of the content and small text, four colours."""
    random = np.random.default_rng(seed)
    wide, high = half
    paint = colors[0] * (1 + 0.04 * noise(u, v, pixel, 0.3))
    low = random.uniform(-0.6, 0.4) * high
    band = within(v, low, low + random.uniform(0.2, 0.7) * high, pixel)
    if random.random() < 0.5:  # a slanting edge
        band = within(v + u * random.uniform(-0.8, 0.8), low, 9.0, pixel)
    paint = mix(paint, colors[1], band)
    x, y = random.uniform(-0.3, 0.3) * wide, random.uniform(-0.6, 0.2) * high
    radius = random.uniform(0.35, 0.7) * min(wide, high)
    food = mix(colors[2], colors[3], np.clip(0.5 + noise(u, v, pixel, 0.12, 0.9), 0, 1))
    squash = random.uniform(0.7, 1.3)
    paint = mix(paint, food, within(np.hypot(u - x, (v - y) * squash), -1, radius, pixel))
    title = random.uniform(0.12, 0.25) * min(high, 1.5 * wide)
    start = random.uniform(0.25, 0.6) * high
    rows = within(v, start, start + _ROW * title, pixel) * within(np.abs(u), -1, 0.85 * wide, pixel)
    paint = mix(paint, colors[3], rows * letters(u, v - start, pixel, title, seed))
    small = within(v, -0.92 * high, random.uniform(-0.8, -0.6) * high, pixel)
    small = small * within(np.abs(u), -1, 0.8 * wide, pixel)
    return mix(paint, colors[3], 0.8 * small * letters(u, v, pixel, 0.003, seed + 1))


def page(u, v, pixel, *, half, seed):
    """A printed or written sheet with margins, some with a figure."""
    random = np.random.default_rng(seed)
    paper = linear(*random.uniform((225, 225, 215), (250, 250, 250)))
    end = random.uniform(-0.85, 0.2) * half[1]
    block = within(np.abs(u), -1, 0.82 * half[0], pixel) * within(v, end, 0.85 * half[1], pixel)
    size = random.choice([0.0025, 0.0035, 0.006])
    sheet = mix(paper, linear(40, 40, 50), block * letters(u, v, pixel, size, seed))
    if random.random() < 0.4:
        top = random.uniform(-0.3, 0.8) * half[1]
        figure = within(np.abs(u), -1, random.uniform(0.3, 0.8) * half[0], pixel)
        figure = figure * within(v, top - 0.5 * half[1], top, pixel)
        color = random.uniform(0.05, 0.6, (3, 1)).astype(np.float32)
        shaded = color * np.maximum(1 + 0.4 * noise(u, v, pixel, 0.2), 0.1)
        sheet = mix(sheet, shaded, figure)
    return sheet


def screen(u, v, pixel, *, half, seed):
    """A screen with windows of text on a coloured background."""
    random = np.random.default_rng(seed)
    ground = random.uniform(0.01, 0.3, (3, 1)).astype(np.float32)
    shown = ground * np.maximum(1 + 0.35 * noise(u, v, pixel, 1.0, 1.8), 0.2)
    for _ in range(random.integers(1, 4)):
        x, y = random.uniform(-0.5, 0.5, 2) * half
        width, height = random.uniform(0.3, 0.8, 2) * half
        area = within(np.abs(u - x), -1, width, pixel) * within(np.abs(v - y), -1, height, pixel)
        dark = random.random() < 0.3
        back, ink = (0.03, 0.5) if dark else (0.8, 0.06)
        text = letters(u - x, v - y, pixel, 0.004, seed)
        text = text * within(u - x, -0.9 * width, random.uniform(0, 0.9) * width, pixel)
        window = mix(np.full((3, 1), back, np.float32), np.float32(ink), text)
        bar = within(v - y, height - 0.012, height, pixel)
        shown = mix(shown, mix(window, np.float32(0.35), bar), area)
    return shown


def back(u, v, pixel, *, color, ink, half, seed):
    """The spine of one standing book: its title along v, between two lines."""
    size = min(1.1 * half[0], 0.014)
    title = within(v, -0.5 * half[1], (0.2 + 0.06 * (seed % 9)) * half[1], pixel)
    title = title * within(np.abs(u), -1, size / 2, pixel)
    mark = title * letters(v, u + size / 2, pixel, size, seed)
    lines = within(np.abs(np.abs(v) - 0.78 * half[1]), -1, 0.003, pixel)
    return mix(color, ink, np.maximum(mark, 0.7 * lines))
