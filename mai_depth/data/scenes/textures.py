"""Surface patterns in metres on the surface: wood, tiles, bricks, facades, books, leaves, roads.

A pattern takes u, v and `pixel`, the size of a pixel on the surface, each float32 [N] in metres,
and returns the linear albedo, float32 [3, N]. Details smaller than a pixel fade to their mean, so
that far surfaces do not flicker.
"""

import functools
from typing import Any

import numpy as np

_TILE = 512


def linear(red: float, green: float, blue: float) -> np.ndarray:
    """An sRGB colour 0..255 as linear float32 [3, 1]."""
    return ((np.array([[red], [green], [blue]]) / 255.0) ** 2.2).astype(np.float32)


@functools.cache
def _noise_levels(roughness: float) -> tuple[np.ndarray, np.ndarray]:
    """A mipmap of 1/f noise, flattened, and where each of its levels begins."""
    random = np.random.default_rng(7)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(_TILE), np.fft.fftfreq(_TILE)))
    frequency[0, 0] = np.inf
    spectrum = np.fft.fft2(random.standard_normal((_TILE, _TILE))) / frequency**roughness
    tile = np.fft.ifft2(spectrum).real
    tile = (tile / tile.std()).astype(np.float32)
    levels = [tile]
    while levels[-1].shape[0] > 4:
        size = levels[-1].shape[0] // 2
        levels.append(levels[-1].reshape(size, 2, size, 2).mean((1, 3)))
    starts = np.cumsum([0, *[level.size for level in levels[:-1]]])
    return np.concatenate([level.ravel() for level in levels]), starts.astype(np.int32)


def noise(
    u: np.ndarray, v: np.ndarray, pixel: np.ndarray, period: float, roughness: float = 1.2
) -> np.ndarray:
    """Smooth noise of a standard deviation of about 1 that repeats after `period` metres.

    Args:
        u: [N] metres.
        v: [N] metres.
        pixel: [N] metres; details below it are averaged away.
        period: Metres.
        roughness: Exponent of the spectrum: 0.3 grainy, 1.2 like stone, 2 like clouds.

    Returns:
        float32 [N].
    """
    table, starts = _noise_levels(roughness)
    level = np.log2(np.maximum(pixel * np.float32(_TILE / period), 1))
    level = np.minimum(level, len(starts) - 1).astype(np.int32)
    size = np.right_shift(np.int32(_TILE), level)
    scale = size.astype(np.float32) * np.float32(1 / period)
    x, y = u * scale, v * scale
    column, row = np.floor(x), np.floor(y)
    fx, fy = x - column, y - row
    column, row = column.astype(np.int32), row.astype(np.int32)
    last, start = size - 1, starts[level]
    left, right = column & last, (column + 1) & last
    upper, lower = start + (row & last) * size, start + ((row + 1) & last) * size
    first = table[upper + left] * (1 - fx) + table[upper + right] * fx
    second = table[lower + left] * (1 - fx) + table[lower + right] * fx
    return first * (1 - fy) + second * fy


def speckle(u: np.ndarray, v: np.ndarray, period: float, roughness: float = 0.8) -> np.ndarray:
    """`noise` without smoothing between its cells and without fading: fast, for masks."""
    table, _ = _noise_levels(roughness)
    scale = np.float32(_TILE / period)
    column, row = (u * scale).astype(np.int32), (v * scale).astype(np.int32)
    return table[(row & (_TILE - 1)) * np.int32(_TILE) + (column & (_TILE - 1))]


@functools.cache
def _table() -> np.ndarray:
    return np.random.default_rng(11).random(4096, np.float32)


def chance(*cells: np.ndarray) -> np.ndarray:
    """A number in 0..1 for each cell of a grid, always the same for the same cell."""
    index: Any = np.int32(0)
    for cell, factor in zip(cells, (7919, 104729, 1299709), strict=False):
        index = index + np.asarray(cell).astype(np.int32) * np.int32(factor)
    return _table()[(index ^ (index >> 11)) & 4095]


def line(x: np.ndarray, period: float, width: float, pixel: np.ndarray) -> np.ndarray:
    """How much of a pixel lies on lines of `width` at the multiples of `period`, 0..1, [N]."""
    distance = np.abs(x - period * np.rint(x * np.float32(1 / period)))
    soft = np.maximum(pixel, np.float32(1e-4))
    cover = np.clip((width / 2 - distance) / soft + 0.5, 0, 1)
    far = np.clip(2 * soft / period - 0.5, 0, 1)
    return cover + far * (np.float32(width / period) - cover)


def within(x: np.ndarray, low: float, high: float, pixel: np.ndarray) -> np.ndarray:
    """How much of a pixel lies between `low` and `high`, 0..1, [N]."""
    soft = np.maximum(pixel, np.float32(1e-4))
    return np.clip((x - low) / soft + 0.5, 0, 1) * np.clip((high - x) / soft + 0.5, 0, 1)


def mix(
    first: np.ndarray, second: np.ndarray | np.float32, share: np.ndarray
) -> np.ndarray:
    """Blends `first`, where `share` is 0, with `second`, where it is 1."""
    return first + share * (second - first)


def plain(u, v, pixel, *, color, mottle=0.06, period=2.0, roughness=1.2):
    """One colour with stains: plaster, paint, cloth, stone."""
    return color * np.maximum(1 + mottle * noise(u, v, pixel, period, roughness), 0.1)


def wallpaper(u, v, pixel, *, color, second, width, skirting=None, bottom=0.0):
    """Upright stripes, with a skirting board up to 10 cm above v = `bottom`."""
    share = line(u, 2 * width, width, pixel)
    paint = mix(color, second, share) * (1 + 0.03 * noise(u, v, pixel, 1.0))
    if skirting is None:
        return paint
    return mix(paint, skirting, within(v, bottom, bottom + 0.1, pixel))


def wood(u, v, pixel, *, color, contrast=0.12):
    """Grain along u."""
    grain = noise(u * 0.08, v, pixel, 0.6, 1.0) + 0.5 * noise(u * 0.3, v + 0.3, pixel, 2.0)
    return color * np.maximum(1 + contrast * grain, 0.2)


def planks(u, v, pixel, *, color, width=0.12, length=1.4, contrast=0.25):
    """A floor of boards along u, each with its own tone and grain."""
    row = np.floor(v / width)
    shifted = u + length * chance(row)
    board = np.floor(shifted / length)
    tone = chance(row, board)
    far = np.clip(pixel / width - 0.3, 0, 1)
    tone = 1 + contrast * (1 - far) * (2 * tone - 1)
    grain = noise(u * 0.1 + 3.7 * tone, v, pixel, 0.7, 1.0)
    gaps = np.maximum(line(v, width, 0.005, pixel), line(shifted, length, 0.005, pixel))
    return color * (tone * (1 + 0.1 * grain) * (1 - 0.7 * gaps))


def tiles(u, v, pixel, *, color, second, joint, size=0.3, gap=0.006, spread=0.06):
    """Square tiles of two alternating colours, with joints."""
    column, row = np.floor(u / size), np.floor(v / size)
    odd = np.float32((column + row) % 2)
    odd = mix(odd, np.float32(0.5), np.clip(pixel / size - 0.4, 0, 1))
    tone = 1 + spread * (2 * chance(column, row) - 1) + 0.04 * noise(u, v, pixel, 1.5)
    joints = np.maximum(line(u, size, gap, pixel), line(v, size, gap, pixel))
    return mix(mix(color, second, odd) * tone, joint, joints)


def bricks(u, v, pixel, *, color, joint, height=0.075, length=0.24, spread=0.3):
    """Courses of bricks, every other one shifted by half a brick."""
    row = np.floor(v / height)
    shifted = u + length / 2 * (row % 2)
    tone = spread * (2 * chance(row, np.floor(shifted / length)) - 1)
    tone = 1 + tone * np.clip(1.4 - pixel / height, 0, 1) + 0.1 * noise(u, v, pixel, 0.8)
    gap = height * 0.14
    joints = np.maximum(line(v, height, gap, pixel), line(shifted, length, gap, pixel))
    return mix(color * np.maximum(tone, 0.2), joint, joints)


def carpet(u, v, pixel, *, color, second, half, ring=0.25):
    """Pile with a border and a lattice; `half` is half its width and depth."""
    edge = np.minimum(half[0] - np.abs(u), half[1] - np.abs(v))
    share = np.maximum(within(edge, ring * 0.4, ring * 0.7, pixel), 0)
    lattice = line(u + v, 0.4, 0.08, pixel) + line(u - v, 0.4, 0.08, pixel)
    share = np.maximum(share, np.clip(lattice, 0, 1) * (edge > ring))
    return mix(color, second, share) * (1 + 0.18 * noise(u, v, pixel, 0.5, 0.3))


def cloth(u, v, pixel, *, color, second, check=0.0):
    """Woven cloth; with `check` > 0 a plaid of that period."""
    base = color
    if check:
        share = 0.5 * line(u, check, check / 2, pixel) + 0.5 * line(v, check, check / 2, pixel)
        base = mix(color, second, share)
    return base * (1 + 0.08 * noise(u, v, pixel, 0.4, 0.4) + 0.05 * noise(u, v, pixel, 2.0, 1.8))


def curtain(u, v, pixel, *, color, fold=0.11):
    """Cloth in folds along v."""
    wave = np.sin(u * (2 * np.pi / fold) + 1.5 * np.sin(u * (2.1 / fold)))
    return color * (0.75 + 0.25 * wave) * (1 + 0.04 * noise(u, v, pixel, 0.6, 0.5))


def panels(u, v, pixel, *, color, half, columns=2, rows=2, knob=True):
    """Cupboard or door fronts: recessed panels, dark slits between doors, knobs."""
    width, height = 2 * half[0] / columns, 2 * half[1] / rows
    x, y = (u + half[0]) % width, (v + half[1]) % height
    edge = np.minimum(np.minimum(x, width - x), np.minimum(y, height - y))
    tone = 1 + 0.05 * noise(u * 0.2, v, pixel, 0.8, 1.0)
    tone = tone * (1 - 0.75 * within(edge, -1, 0.004, pixel))
    margin = min(0.08, 0.25 * min(width, height))
    tone = tone * (1 - 0.25 * within(edge, margin, margin + 0.012, pixel))
    paint = color * tone
    if not knob:
        return paint
    radius = np.hypot(x - width + margin / 2, y - height / 2)
    return mix(paint, linear(190, 185, 170), within(radius, -1, 0.016, pixel))


def books(u, v, pixel, *, half, seed):
    """Book spines of many colours and heights on a shelf; dark above them."""
    cell = np.floor(u / 0.035)
    hue, light = chance(cell, cell * 0 + seed), chance(cell + 77, cell * 0 + seed)
    angle = 6.2832 * hue
    color = np.stack([0.5 + 0.45 * np.cos(angle - shift) for shift in (0.2, 2.0, 4.2)])
    color = 0.12 + 0.6 * color.astype(np.float32) * (0.25 + 0.75 * light)
    seam = 1 - 0.8 * line(u, 0.035, 0.006, pixel)
    label = within(v, -0.3 * half[1], -0.1 * half[1], pixel) * (light > 0.4)
    color = mix(color * seam, linear(225, 215, 190), 0.6 * label * seam)
    top = half[1] * (0.35 + 0.6 * chance(cell + 31, cell * 0 + seed))
    return mix(color, np.float32(0.015), np.clip((v - top) / np.maximum(pixel, 1e-3) + 0.5, 0, 1))


def painting(u, v, pixel, *, half, seed, frame):
    """A framed picture: a landscape of two noisy colours under a sky, or blocks of colour."""
    random = np.random.default_rng(seed)
    colors = random.uniform(0.02, 0.8, (4, 3, 1)).astype(np.float32)
    x, y = u / half[0], v / half[1]
    if random.random() < 0.5:
        hills = 0.35 * noise(u, 0 * v + seed % 7, pixel, 4 * half[0], 1.8)
        art = mix(colors[0], colors[1], np.clip((y + 1) / 2, 0, 1))
        art = mix(art, colors[2], within(hills - y, 0.1, 9, pixel / half[1]))
        art = mix(art, colors[3], within(hills * 0.6 - y, 0.5, 9, pixel / half[1]))
    else:
        column, row = np.floor(x * random.integers(1, 4)), np.floor(y * random.integers(1, 3))
        pick = chance(column, row, 0 * row + seed)
        art = colors[(pick * 3.999).astype(np.int32), :, 0].T
    art = art * (1 + 0.15 * noise(u, v, pixel, 0.5))
    edge = np.minimum(half[0] - np.abs(u), half[1] - np.abs(v))
    mount = within(edge, -1, 0.07, pixel) * random.integers(0, 2)
    return mix(mix(art, linear(240, 238, 230), mount), frame, within(edge, -1, 0.03, pixel))


def window(u, v, pixel, *, half, frame, bright, panes=2, seed=0):
    """A window onto sky and greenery, with frame and bars."""
    y = v / half[1]
    green = linear(96, 120, 70) * (1 + 0.4 * noise(u, v, pixel, 1.0))
    sky = mix(linear(225, 235, 245), linear(150, 190, 235), np.clip((y + 1) / 2, 0, 1))
    hedge = -0.5 + 0.2 * noise(u + seed % 13, 0 * v, pixel, 3.0, 1.6)
    view = mix(sky, green, within(hedge - y, 0, 9, pixel / half[1])) * np.float32(bright)
    edge = np.minimum(half[0] - np.abs(u), half[1] - np.abs(v))
    bars = np.maximum(
        within(edge, -1, 0.06, pixel), line(u - half[0], 2 * half[0] / panes, 0.05, pixel)
    )
    return mix(view, frame, np.maximum(bars, line(v, 4 * half[1], 0.04, pixel)))


def facade(u, v, pixel, *, wall, glass, frame, half, storey=3.0, bay=2.2, size=(1.1, 1.5), seed=0):
    """A house front: `wall` (a pattern) with rows of windows, and a shop or door storey below."""
    height = v + half[1]
    bays = max(1, int(2 * half[0] / bay))
    pitch = 2 * half[0] / bays
    x = (u + half[0]) % pitch - pitch / 2
    y = height % storey - 0.9 - size[1] / 2
    column, row = np.floor((u + half[0]) / pitch), np.floor(height / storey)
    complete = (row + 1) * storey <= 2 * half[1]
    shine = chance(column, row, 0 * row + seed)
    edge = np.minimum(size[0] / 2 - np.abs(x), size[1] / 2 - np.abs(y))
    opening = within(edge, -0.08, 9, pixel) * complete
    pane = within(edge, 0.0, 9, pixel) * complete * (1 - line(x, 9, 0.06, pixel))
    sky = mix(linear(40, 48, 56), linear(150, 175, 200), np.clip(shine + 0.25 * y, 0, 1) ** 2)
    panes = mix(sky, glass, 0.5) * (1 + 0.2 * noise(u, v, pixel, 2.0))
    paint = mix(mix(wall(u, v, pixel), frame, opening), panes, pane)
    sill = within(height % storey, 0.72, 0.82, pixel) * within(
        np.abs(x), -1, size[0] / 2 + 0.15, pixel
    )
    return mix(paint, frame * 0.8, sill * complete)


def leaves(u, v, pixel, *, color):
    """Foliage: light and dark green in clumps."""
    clumps = noise(u, v, pixel, 3.0, 0.9)
    return color * np.clip(0.9 + 0.55 * clumps, 0.12, 2.5)


def asphalt(u, v, pixel, *, color, half_road, lanes=2, dashes=3.0):
    """A road along v with edge lines and dashed lane marks, centred on u = 0."""
    stains = 0.10 * noise(u, v, pixel, 9.0, 1.4) + 0.16 * noise(u, v, pixel, 0.8, 0.3)
    tracks = 0.05 * np.cos(u * np.float32(2 * np.pi * lanes / half_road))
    base = color * np.maximum(1 + stains + tracks, 0.2)
    dash = line(v, 2 * dashes, dashes, pixel * 4)
    lane = line(u + half_road, 2 * half_road / lanes, 0.13, pixel) * within(
        np.abs(u), -1, half_road * 0.9, pixel
    )
    edges = within(np.abs(u), half_road - 0.45, half_road - 0.33, pixel)
    worn = np.clip(0.8 + 0.2 * noise(u, v, pixel, 2.0, 0.8), 0, 1)
    return mix(base, linear(225, 225, 218), np.maximum(dash * lane, edges) * worn)


def grass(u, v, pixel, *, color):
    """Lawn with patches."""
    patches = 0.25 * noise(u, v, pixel, 1.0, 0.5) + 0.2 * noise(u, v, pixel, 11.0, 1.6)
    return color * np.maximum(1 + patches, 0.2)
