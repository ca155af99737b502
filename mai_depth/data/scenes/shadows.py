"""Shadows: which points a lamp reaches, and ambient occlusion."""

import numpy as np

from mai_depth.data.scenes.scene import Light
from mai_depth.data.scenes.scene import Scene
from mai_depth.data.scenes.solids import Box
from mai_depth.data.scenes.solids import Solid
from mai_depth.data.scenes.solids import dot
from mai_depth.data.scenes.solids import turn

_CONTACT_SEEN_M = 12.0  # farther away it is too small to be seen
_CORNER_M = 0.45  # reach of the darkening in the corners of a room


def visible_share(
    scene: Scene,
    lamp: Light,
    point: np.ndarray,
    normal: np.ndarray,
    random: np.random.Generator,
    columns: int,
) -> np.ndarray:
    """Returns the share of a lamp that each point sees.

    Args:
        scene: The scene.
        lamp: One of its lights.
        point: float32 [3, N], metres.
        normal: float32 [3, N].
        random: Source of the points on the lamp.
        columns: Number of points in a row.

    Returns:
        float32 [N], 0..1; 0 for surfaces that face away.
    """
    towards, _ = lamp.towards(point)
    facing = np.flatnonzero(dot(towards, normal) > 0)
    start = point[:, facing] + np.float32(2e-3) * normal[:, facing]
    if lamp.opening is not None:
        direction = np.broadcast_to(np.array(lamp.at, np.float32).reshape(3, 1), start.shape)
        through = lamp.opening.blocks(start, direction, np.inf)
        facing, start = facing[through], start[:, through]
    direction = np.array(lamp.at, np.float32).reshape(3, 1)
    if lamp.spread:
        # Each pixel sees another point of the lamp, which makes a soft edge.
        shift = random.random((3, 1021), np.float32)[:, facing % 1021] - np.float32(0.5)
        if lamp.in_turn:
            shift[[0, 2]] = (shift[[0, 2]] + _in_turn(facing, columns)) / 9
        direction = direction + np.float32(2 * lamp.spread) * shift
    if not lamp.sun:
        direction = direction - start
    visible = np.zeros(point.shape[1], np.float32)
    visible[facing] = ~_blocked(scene, lamp, start, direction)
    return visible


def _in_turn(index: np.ndarray, columns: int) -> np.ndarray:
    """Two numbers in -4..4 for each point; neither repeats within a square of 3x3 points."""
    row, column = index // columns % 3 - 1, index % columns % 3 - 1
    return np.stack([3 * column + row, 3 * row + column]).astype(np.float32)


def _blocked(scene: Scene, lamp: Light, start, direction) -> np.ndarray:
    """Whether something lies between the points and the lamp, bool [N]."""
    blocked = np.zeros(start.shape[1], bool)
    reach = np.float32(np.inf if lamp.sun else 0.99)
    parallel = direction.shape[1] == 1
    view = _LampView(lamp, start)
    for solid in scene.solids:
        if solid.casts:
            near = view.behind(solid)
            near = near[~blocked[near]]
            if near.size:
                rays = direction if parallel else direction[:, near]
                blocked[near] |= solid.blocks(start[:, near], rays, reach)
    return blocked


class _LampView:
    """Points as seen from a lamp, to find quickly which of them a body can hide.

    Points and bodies are projected from the lamp onto the ground: a body hides at most the points
    inside its bounding rectangle. Bodies that reach up to the lamp have no such rectangle; they
    hide at most the points inside a cone.
    """

    def __init__(self, lamp: Light, point: np.ndarray):
        self.lamp = lamp
        self.at = np.asarray(lamp.at, np.float64).reshape(3, 1)
        x, _, z = self._ground(point)
        self.x, self.z = x.astype(np.float32), z.astype(np.float32)
        self.below = np.full(x.shape, True) if lamp.sun else point[1] < self.at[1] - 0.05
        self.towards = point - np.float32(self.at)
        self.distance = np.sqrt(dot(self.towards, self.towards))

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
        cosine = np.float32(np.sqrt(1 - (radius / distance) ** 2))
        axis = (axis / distance).astype(np.float32)
        return np.flatnonzero(dot(axis, self.towards) > cosine * self.distance)


def openness(
    scene: Scene, point: np.ndarray, normal: np.ndarray, key: np.ndarray, step: int
) -> np.ndarray:
    """Returns how much of the ambient light arrives: less in corners and beside bodies.

    Args:
        scene: The scene.
        point: float32 [3, N], metres.
        normal: float32 [3, N].
        key: [rows, columns] with rows * columns = N: 16 times the number of the body.
        step: Pixels of the camera for each row or column of `key`.

    Returns:
        float32 [N], 0..1.
    """
    openness = np.ones(key.size, np.float32)
    casters = [i for i, solid in enumerate(scene.solids) if solid.casts]
    if casters:
        corners = np.stack([scene.solids[i].corners for i in casters])
        outwards = np.sign(corners - corners.mean(2, keepdims=True))
        windows = scene.camera.windows(corners + 3 * scene.contact_m * outwards)
    for i, row in zip(casters, windows if casters else (), strict=True):
        top, bottom, left, right = (row[:4] / step).astype(int)
        if row[4] < _CONTACT_SEEN_M and top < bottom and left < right:
            near = np.flatnonzero(key[top:bottom, left:right] >> 4 != i)
            index = (top + near // (right - left)) * key.shape[1] + left + near % (right - left)
            _darken_beside(scene.solids[i], index, point, normal, openness, scene.contact_m)
    if scene.room is not None:
        openness *= _corners_of_room(scene.room, point, normal)
    return openness


def _corners_of_room(room: Box, point, normal) -> np.ndarray:
    openness = np.ones(point.shape[1], np.float32)
    for face in range(6):
        axis, sign = face // 2, np.float32(1 if face % 2 else -1)
        wall = np.float32(room.center[axis] + sign * room.half[axis])
        gap = np.abs(point[axis] - wall)
        # The wall itself, and what faces away from it, is not darkened.
        weight = np.clip(1 + sign * normal[axis], 0, 1)
        openness *= 1 - np.float32(0.4) * weight * np.exp(gap * np.float32(-1 / _CORNER_M))
    return openness


def _darken_beside(solid: Solid, index, point, normal, openness, reach: float) -> None:
    half = np.asarray(solid.half, np.float32).reshape(3, 1)
    local = solid.local(point[:, index])
    to_body = np.clip(local, -half, half) - local
    gap = np.sqrt(dot(to_body, to_body))
    close = np.flatnonzero(gap < np.float32(3 * reach))
    index, gap, to_body = index[close], gap[close], to_body[:, close]
    facing = dot(to_body, turn(solid.turned.T, normal[:, index]))
    weight = np.clip(0.55 + 0.45 * facing / (gap + np.float32(1e-3)), 0, 1)
    openness[index] *= 1 - np.float32(0.5) * weight * np.exp(gap * np.float32(-1 / reach))
