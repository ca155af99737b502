"""Light: diffuse and glossy reflection, cast shadows, dark contacts, haze and sky."""

import dataclasses
from collections.abc import Callable

import numpy as np

from mai_depth.scenes.raycast import Box
from mai_depth.scenes.raycast import Camera
from mai_depth.scenes.raycast import Solid
from mai_depth.scenes.raycast import trace
from mai_depth.scenes.raycast import turn

_CONTACT_M = 0.12  # reach of the darkening beside a body
_STEP = 2  # shadows are found for every second pixel of every second row
_CORNER_M = 0.45  # reach of the darkening in the corners of a room


@dataclasses.dataclass(frozen=True)
class Light:
    """A lamp, or the sun.

    Attributes:
        at: Position in metres, or for the sun the direction towards it.
        color: Linear RGB; for a lamp the irradiance at 1 m.
        sun: `at` is a direction.
        spread: Radius of the lamp in metres; shadows get soft edges of that width.
        shadows: How many shadow rays a point sends; 0 for none.
        opening: A box that the light must pass on its way (a window for the sun), or None.
    """

    at: tuple[float, float, float]
    color: tuple[float, float, float]
    sun: bool = False
    spread: float = 0.0
    shadows: int = 1
    opening: Solid | None = None


@dataclasses.dataclass(frozen=True)
class Scene:
    """Everything that a picture is made of.

    Attributes:
        solids: The bodies.
        lights: The lights.
        camera: The camera.
        above: Linear RGB of the light that comes from everywhere above.
        below: The same from below.
        sky: Takes ray directions [3, N], returns linear RGB [3, N]; None indoors.
        haze: (linear RGB, distance in metres at which it hides 63 %), or None.
        room: The room that is seen from within, or None.
    """

    solids: list[Solid]
    lights: list[Light]
    camera: Camera
    above: tuple[float, float, float]
    below: tuple[float, float, float]
    sky: Callable[[np.ndarray], np.ndarray] | None = None
    haze: tuple[tuple[float, float, float], float] | None = None
    room: Box | None = None


@dataclasses.dataclass
class _Surfaces:
    """What the pixels see, [3, height, width] or [height, width]; nothing in the sky.

    `key` names the solid and its face, -1 in the sky.
    """

    point: np.ndarray
    normal: np.ndarray
    albedo: np.ndarray
    gloss: np.ndarray
    emission: np.ndarray
    key: np.ndarray


def render(scene: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Renders a scene.

    Args:
        scene: The scene.

    Returns:
        Linear RGB, float32 [3, height, width]; z depth, float32 [height, width] in metres,
        infinite in the sky; highlights, float32 [height, width], the glossy part of the light.
    """
    depth, number = trace(scene.solids, scene.camera)
    rays = scene.camera.rays()
    seen = number >= 0
    distance = np.where(seen, depth, 0)
    surfaces = _surfaces(scene, rays, distance, number)
    color, shine = _lit(scene, surfaces, rays)
    if scene.haze is not None:
        veil, reach = scene.haze
        share = 1 - np.exp(distance * np.float32(-1 / reach))
        color += share * (np.float32(veil).reshape(3, 1, 1) - color)
    if scene.sky is not None and not seen.all():
        color[:, ~seen] = scene.sky(rays[:, ~seen])
    return color, depth, shine


def _surfaces(scene: Scene, rays, distance, number) -> _Surfaces:
    origin = np.asarray(scene.camera.position, np.float32).reshape(3, 1, 1)
    point = origin + rays * distance
    count = distance.size
    flat_point, flat_rays, flat_distance = (
        point.reshape(3, -1),
        rays.reshape(3, -1),
        distance.ravel(),
    )
    normal, albedo = np.zeros((3, count), np.float32), np.zeros((3, count), np.float32)
    gloss, emission = np.zeros(count, np.float32), np.zeros(count, np.float32)
    key = np.full(count, -1, np.int16)
    order = np.argsort(number.ravel(), kind="stable")
    ends = np.searchsorted(number.ravel()[order], np.arange(len(scene.solids) + 1))
    for i, solid in enumerate(scene.solids):
        mine = order[ends[i] : ends[i + 1]]
        if not mine.size:
            continue
        face, facing, u, v = solid.surface(solid.local(flat_point[:, mine]))
        facing = turn(solid.turned, facing)
        # Bodies with holes show their inner side as well.
        cosine = -np.sum(facing * flat_rays[:, mine], axis=0)
        normal[:, mine] = facing * np.where(cosine < 0, np.float32(-1), np.float32(1))
        slant = np.sqrt(np.maximum(np.abs(cosine), np.float32(0.02)))
        pixel = flat_distance[mine] * np.float32(1 / scene.camera.focal) / slant
        key[mine] = 16 * i + face
        for material, part in _materials(solid, face):
            index = mine[part]
            albedo[:, index] = material.pattern(u[part], v[part], pixel[part])
            gloss[index], emission[index] = material.gloss, material.emission
    shape = distance.shape
    return _Surfaces(
        point,
        normal.reshape(3, *shape),
        np.clip(albedo, 0, 1).reshape(3, *shape),
        gloss.reshape(shape),
        emission.reshape(shape),
        key.reshape(shape),
    )


def _materials(solid: Solid, face: np.ndarray):
    """Pairs of a material and the pixels that wear it."""
    if not solid.faces:
        yield solid.material, slice(None)
        return
    special = np.zeros(face.shape, bool)
    for number, material in solid.faces.items():
        part = face == number
        special |= part
        if part.any():
            yield material, np.flatnonzero(part)
    if not special.all():
        yield solid.material, np.flatnonzero(~special)


def _lit(scene: Scene, surfaces: _Surfaces, rays) -> tuple[np.ndarray, np.ndarray]:
    """The light that surfaces send to the camera, [3, height, width], and its glossy part."""
    shares = _spread(_shares(scene, surfaces), surfaces.key)
    upward = 0.5 + 0.5 * surfaces.normal[1]
    below, above = (np.float32(color).reshape(3, 1, 1) for color in (scene.below, scene.above))
    light = (below + upward * (above - below)) * shares[0] + surfaces.emission
    shine = np.zeros(upward.shape, np.float32)
    shiny = np.flatnonzero(surfaces.gloss.ravel() > 0)
    view = -rays.reshape(3, -1)[:, shiny]
    view /= np.sqrt(np.sum(view * view, axis=0))
    for lamp, visible in zip(scene.lights, shares[1:], strict=True):
        color = np.float32(lamp.color).reshape(3, 1, 1)
        towards, strength = _towards(lamp, surfaces.point)
        cosine = np.maximum(np.sum(towards * surfaces.normal, axis=0), 0)
        light += color * (cosine * strength * visible)
        half = towards.reshape(3, -1)[:, shiny] + view
        half /= np.sqrt(np.sum(half * half, axis=0) + np.float32(1e-6))
        glint = np.maximum(np.sum(half * surfaces.normal.reshape(3, -1)[:, shiny], axis=0), 0)
        for _ in range(5):  # the 32nd power
            glint = glint * glint
        strength = np.broadcast_to(strength, upward.shape) * visible * (cosine > 0)
        shine.ravel()[shiny] += glint * strength.ravel()[shiny] * color.mean()
    shine *= surfaces.gloss
    return surfaces.albedo * light + shine, shine


def _towards(lamp: Light, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit directions to a lamp, and the light that arrives there on a facing surface."""
    at = np.float32(lamp.at).reshape((3,) + (1,) * (point.ndim - 1))
    if lamp.sun:
        return np.broadcast_to(at / np.sqrt(np.sum(at * at)), point.shape), np.float32(1)
    towards = at - point
    square = np.sum(towards * towards, axis=0)
    # The addend keeps the light finite beside the lamp.
    return towards / np.sqrt(square + np.float32(1e-6)), 1 / (square + np.float32(0.3))


def _shares(scene: Scene, surfaces: _Surfaces) -> np.ndarray:
    """The open part of the surroundings and the visible part of each lamp, for some pixels.

    Returns:
        float32 [1 + lamps, rows, columns], for every `_STEP`-th pixel.
    """
    some = (slice(None, None, _STEP),) * 2
    key = surfaces.key[some]
    point = np.ascontiguousarray(surfaces.point[(slice(None), *some)]).reshape(3, -1)
    normal = np.ascontiguousarray(surfaces.normal[(slice(None), *some)]).reshape(3, -1)
    shares = [_openness(scene, point, normal, key)]
    for number, lamp in enumerate(scene.lights):
        random = np.random.default_rng([3, number])
        shares.append(_visible(scene, lamp, point, normal, random))
    return np.stack(shares).reshape(-1, *key.shape)


def _spread(shares: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Carries `shares` to all pixels: the mean over near pixels of the same face.

    The mean also smooths the grain of the soft shadows.
    """
    height, width = key.shape
    coarse = key[::_STEP, ::_STEP]
    total = np.zeros((len(shares), height, width), np.float32)
    weight = np.zeros((height, width), np.float32)
    padded = np.pad(shares, ((0, 0), (1, 1), (1, 1)), mode="edge")
    keys = np.pad(coarse, 1, mode="edge")
    rows, columns = coarse.shape
    for y in range(3):
        for x in range(3):
            near = np.s_[y : y + rows, x : x + columns]
            twice = _enlarged(keys[near], key.shape)
            share = np.where(twice == key, np.float32(1), np.float32(1e-4))
            weight += share
            for target, values in zip(total, padded[(slice(None), *near)], strict=True):
                target += share * _enlarged(values, key.shape)
    return total / weight


def _enlarged(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return values.repeat(_STEP, 0).repeat(_STEP, 1)[: shape[0], : shape[1]]


def _visible(scene: Scene, lamp: Light, point, normal, random) -> np.ndarray:
    """Share of the lamp that each point sees, [N]."""
    towards, _ = _towards(lamp, point)
    facing = np.flatnonzero(np.sum(towards * normal, axis=0) > 0)
    start = point[:, facing] + np.float32(2e-3) * normal[:, facing]
    visible = np.zeros(point.shape[1], np.float32)
    if lamp.opening is not None:
        direction = np.broadcast_to(np.float32(lamp.at).reshape(3, 1), start.shape)
        through = lamp.opening.blocks(start, direction, np.inf)
        facing, start = facing[through], start[:, through]
    rays = max(lamp.shadows, 1)
    for _ in range(rays):
        # Another point of the lamp for every pixel: a soft edge instead of a hard one.
        shift = random.random((3, 1021), np.float32)[:, facing % 1021] - np.float32(0.5)
        direction = np.float32(lamp.at).reshape(3, 1) + np.float32(2 * lamp.spread) * shift
        if not lamp.sun:
            direction = direction - start
        visible[facing] += ~_blocked(scene, lamp, start, direction) / np.float32(rays)
    return visible


def _blocked(scene: Scene, lamp: Light, start, direction) -> np.ndarray:
    """Whether something lies between the points and the lamp, bool [N]."""
    blocked = np.zeros(start.shape[1], bool)
    if not lamp.shadows:
        return blocked
    reach = np.float32(np.inf if lamp.sun else 0.99)
    view = _LampView(lamp, start)
    for solid in scene.solids:
        if solid.casts:
            near = view.behind(solid)
            if near.size:
                blocked[near] |= solid.blocks(start[:, near], direction[:, near], reach)
    return blocked


class _LampView:
    """Points as a lamp sees them, to find quickly which a body can hide.

    Points and bodies are projected from the lamp onto the ground: a body hides at most the points
    that fall into the rectangle around it. Bodies that reach up to the lamp have no shadow on the
    ground; they hide at most the points within a cone.
    """

    def __init__(self, lamp: Light, point: np.ndarray):
        self.lamp = lamp
        self.at = np.asarray(lamp.at, np.float64).reshape(3, 1)
        x, _, z = self._ground(point)
        self.x, self.z = x.astype(np.float32), z.astype(np.float32)
        self.below = np.full(x.shape, True) if lamp.sun else point[1] < self.at[1] - 0.05
        self.towards = point - np.float32(self.at)
        self.distance = np.sqrt(np.sum(self.towards * self.towards, axis=0))

    def _ground(self, point: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self.lamp.sun:
            scale = point[1] / self.at[1]
            return point[0] - scale * self.at[0], scale, point[2] - scale * self.at[2]
        scale = point[1] / np.minimum(point[1] - self.at[1], -1e-3)
        x = point[0] + scale * (self.at[0] - point[0])
        return x, scale, point[2] + scale * (self.at[2] - point[2])

    def behind(self, solid: Solid) -> np.ndarray:
        """Indices of the points that the solid may hide."""
        if not self.lamp.sun and solid.corners[1].max() > self.at[1] - 0.3:
            return self._in_cone(solid)
        x, scale, z = self._ground(solid.corners)
        margin = 0.02 + 3 * self.lamp.spread * (1 + np.abs(scale).max())
        inside = (self.x > x.min() - margin) & (self.x < x.max() + margin) & self.below
        return np.flatnonzero(inside & (self.z > z.min() - margin) & (self.z < z.max() + margin))

    def _in_cone(self, solid: Solid) -> np.ndarray:
        axis = np.reshape(solid.center, (3, 1)) - self.at
        distance = np.sqrt(np.sum(axis * axis))
        radius = np.sqrt(np.sum(np.square(solid.half))) + 2 * self.lamp.spread
        if distance <= radius:
            return np.arange(self.x.size)
        axis, cosine = (
            np.float32(axis / distance),
            np.float32(np.sqrt(1 - (radius / distance) ** 2)),
        )
        along = axis[0] * self.towards[0] + axis[1] * self.towards[1] + axis[2] * self.towards[2]
        return np.flatnonzero(along > cosine * self.distance)


def _openness(scene: Scene, point, normal, key) -> np.ndarray:
    """How much of the surrounding light arrives: less in corners and beside bodies, [N]."""
    openness = np.ones(key.shape, np.float32)
    camera = scene.camera
    for i, solid in enumerate(scene.solids):
        if solid.casts:
            middle = solid.corners.mean(1, keepdims=True)
            grown = solid.corners + 3 * _CONTACT_M * np.sign(solid.corners - middle)
            rows, columns = (_coarse(part) for part in camera.window(grown))
            near = np.flatnonzero(key[rows, columns] >> 4 != i)
            if near.size:
                width = columns.stop - columns.start
                index = (rows.start + near // width) * key.shape[1] + columns.start + near % width
                _darken_beside(solid, index, point, normal, openness.ravel())
    if scene.room is not None:
        openness *= _corners_of_room(scene.room, point, normal).reshape(key.shape)
    return openness.ravel()


def _coarse(part: slice) -> slice:
    return slice((part.start or 0) // _STEP, -(-part.stop // _STEP))


def _corners_of_room(room: Box, point, normal) -> np.ndarray:
    openness = np.ones(point.shape[1], np.float32)
    for face in range(6):
        axis, sign = face // 2, np.float32(1 if face % 2 else -1)
        wall = np.float32(room.center[axis] + sign * room.half[axis])
        gap = np.abs(point[axis] - wall)
        # The wall itself, and what looks away from it, is not darkened.
        weight = np.clip(1 + sign * normal[axis], 0, 1)
        openness *= 1 - np.float32(0.4) * weight * np.exp(gap * np.float32(-1 / _CORNER_M))
    return openness


def _darken_beside(solid: Solid, index, point, normal, openness) -> None:
    half = np.asarray(solid.half, np.float32).reshape(3, 1)
    local = solid.local(point[:, index])
    to_body = np.clip(local, -half, half) - local
    gap = np.sqrt(np.sum(to_body * to_body, axis=0))
    close = np.flatnonzero(gap < np.float32(3 * _CONTACT_M))
    index, gap, to_body = index[close], gap[close], to_body[:, close]
    facing = np.sum(to_body * turn(solid.turned.T, normal[:, index]), axis=0)
    weight = np.clip(0.55 + 0.45 * facing / (gap + np.float32(1e-3)), 0, 1)
    openness[index] *= 1 - np.float32(0.5) * weight * np.exp(gap * np.float32(-1 / _CONTACT_M))
