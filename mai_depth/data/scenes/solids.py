"""Convex bodies that rays can hit: boxes with cut corners, ellipsoids, frustums.

The world has x to the right, y up and z forward, in metres. Vectors are arrays whose first axis
has length 3; a body computes in its own frame.
"""

import dataclasses
import functools
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import numpy as np

NEAR_M = 0.05
_IDENTITY = np.eye(3).tolist()
CLEAR_M = 2e-3  # nearer than this a body does not shade a point: it is a point of its own surface
_CORNER_SIGNS = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8)
_EPSILON = np.float32(1e-20)  # added to a zero it avoids 0 / 0; it changes no other number

Pattern = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def rotation(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Rotation matrix from a local frame to the world.

    Args:
        yaw: Radians about y; positive turns z towards x.
        pitch: Radians about x; positive looks up.
        roll: Radians about z.

    Returns:
        float64 [3, 3]; the columns are the local axes in the world.
    """
    cy, sy = np.cos(yaw), np.sin(yaw)
    cp, sp = np.cos(pitch), np.sin(pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def turn(matrix: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """`matrix @ vectors` for float32 [3, ...], without BLAS.

    BLAS may round differently with another number of threads; a scene must not.
    """
    rows = np.asarray(matrix, np.float64).tolist()
    if rows == _IDENTITY:
        return vectors
    turned = np.zeros((len(rows), *vectors.shape[1:]), np.float32)
    for row, target in zip(rows, turned, strict=True):
        terms = [i for i, factor in enumerate(row) if abs(factor) > 1e-12]
        for i in terms:
            if i == terms[0]:
                np.multiply(vectors[i], np.float32(row[i]), out=target)
            else:
                target += np.float32(row[i]) * vectors[i]
    return turned


def dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Scalar product over the first axis."""
    return first[0] * second[0] + first[1] * second[1] + first[2] * second[2]


@dataclasses.dataclass(frozen=True)
class Material:
    """How a surface looks.

    Attributes:
        pattern: Takes surface coordinates u and v and the size of a pixel on the surface, each
            [N] in metres, and returns the linear albedo, float32 [3, N].
        gloss: Strength of the highlight, 0..1.
        emission: Light that the surface gives off, in multiples of its albedo.
    """

    pattern: Pattern
    gloss: float = 0.0
    emission: float = 0.0


@dataclasses.dataclass(frozen=True)
class Solid:
    """A convex body, the base of all shapes.

    Attributes:
        center: World position of the local origin, metres.
        half: Half the extent along the local axes, metres.
        turned: [3, 3], the local axes as columns, see `rotation`.
        material: That of all faces but those in `faces`.
        faces: Face number -> material.
        casts: Whether it casts a shadow.
        mask: Takes local points [3, N] and returns which are solid (foliage); None for all.
    """

    center: np.ndarray
    half: np.ndarray
    turned: np.ndarray
    material: Material
    faces: Mapping[int, Material] = dataclasses.field(default_factory=dict)
    casts: bool = True
    mask: Callable[[np.ndarray], np.ndarray] | None = None

    def span(self, origin: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ray parameters, in the local frame, where rays enter and leave; a miss has enter > leave.

        Args:
            origin: float32 [3, 1] or [3, N].
            direction: float32 [3, N].
        """
        raise NotImplementedError

    def surface(self, point: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Face number [N], outward normal [3, N] and u, v [N] of local surface points [3, N]."""
        raise NotImplementedError

    def local(self, points: np.ndarray) -> np.ndarray:
        """World points [3, ...] in the local frame."""
        center = np.asarray(self.center, np.float32).reshape((3,) + (1,) * (points.ndim - 1))
        return turn(self.turned.T, points - center)

    @functools.cached_property
    def corners(self) -> np.ndarray:
        """The eight corners of the bounding box, world, float64 [3, 8]."""
        offsets = _CORNER_SIGNS * np.reshape(self.half, (3, 1))
        return np.reshape(self.center, (3, 1)) + self.turned @ offsets

    def first_hit(self, origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """Ray parameter of the first surface in front of the origin, infinite for a miss.

        Args:
            origin: Local, float32 [3, ...].
            direction: Local, float32 [3, ...].

        Returns:
            float32 [...].
        """
        enter, leave = self.span(origin, direction)
        hit = (enter < leave) & (enter > NEAR_M)
        if self.mask is None:
            return np.where(hit, enter, np.float32(np.inf))
        front = self._solid_at(origin, direction, enter, hit)
        back = self._solid_at(origin, direction, leave, hit & ~front)
        return np.where(front, enter, np.where(back, leave, np.float32(np.inf)))

    def blocks(self, origin: np.ndarray, direction: np.ndarray, reach: Any) -> np.ndarray:
        """Whether the body lies on rays between their origins and `reach`.

        Args:
            origin: World, float32 [3, N].
            direction: World, float32 [3, N] or [3, 1].
            reach: Ray parameter.

        Returns:
            bool [N].
        """
        origin, direction = self.local(origin), turn(self.turned.T, direction)
        enter, leave = self.span(origin, direction)
        hit = (enter < leave) & (leave > CLEAR_M) & (enter < reach)
        if self.mask is None:
            return hit
        return self._solid_at(origin, direction, leave, hit)

    def _solid_at(self, origin, direction, distance, wanted) -> np.ndarray:
        """Whether the mask is solid at a distance along those rays that are wanted."""
        solid = np.zeros(wanted.shape, bool)
        shape = (3, *wanted.shape)
        origin = np.broadcast_to(origin, shape)[:, wanted]
        direction = np.broadcast_to(direction, shape)[:, wanted]
        mask: Any = self.mask  # called only for bodies that have one
        solid[wanted] = mask(origin + distance[wanted] * direction)
        return solid


@dataclasses.dataclass(frozen=True)
class Box(Solid):
    """A box; `cuts` take corners off it.

    Faces 0, 1 are -x, +x; 2, 3 are -y, +y; 4, 5 are -z, +z; then the cuts.

    Attributes:
        cuts: ((nx, ny, nz), limit): keeps the local points with n . p <= limit, n of length 1.
        inside: The box is a room seen from inside.
    """

    cuts: tuple[tuple[tuple[float, float, float], float], ...] = ()
    inside: bool = False

    def span(self, origin, direction):
        enter, leave = np.float32(-np.inf), np.float32(np.inf)
        for axis in range(3):
            inverse = np.float32(1) / (direction[axis] + _EPSILON)
            first = (np.float32(-self.half[axis]) - origin[axis]) * inverse
            second = (np.float32(self.half[axis]) - origin[axis]) * inverse
            enter = np.maximum(enter, np.minimum(first, second))
            leave = np.minimum(leave, np.maximum(first, second))
        for normal, limit in self.cuts:
            slope = turn(np.array([normal]), direction)[0] + _EPSILON
            distance = (np.float32(limit) - turn(np.array([normal]), origin)[0]) / slope
            enter = np.where(slope < 0, np.maximum(enter, distance), enter)
            leave = np.where(slope > 0, np.minimum(leave, distance), leave)
        return enter, leave

    def first_hit(self, origin, direction):
        if not self.inside:
            return super().first_hit(origin, direction)
        return self.span(origin, direction)[1]

    def surface(self, point):
        face = self._nearest_face(point)
        normals = np.zeros((3, 6 + len(self.cuts)), np.float32)
        normals[[0, 1, 2], [0, 2, 4]], normals[[0, 1, 2], [1, 3, 5]] = -1, 1
        for number, (normal, _) in enumerate(self.cuts, start=6):
            normals[:, number] = normal
        # u runs along the face, v up it; on level faces they are x and z.
        u = np.where((np.abs(normals[0]) > 0.7)[face], point[2], point[0])
        v = np.where((np.abs(normals[1]) > 0.9)[face], point[2], point[1])
        if self.inside:
            normals = -normals
        return face, np.take(normals, face, axis=1), u, v

    def _nearest_face(self, point: np.ndarray) -> np.ndarray:
        face: Any = np.uint8(0)
        least: Any = np.float32(np.inf)
        for axis in range(3):
            gap = np.abs(np.abs(point[axis]) - np.float32(self.half[axis]))
            face = np.where(gap < least, np.uint8(2 * axis) + (point[axis] > 0), face)
            least = np.minimum(least, gap)
        for number, (normal, limit) in enumerate(self.cuts, start=6):
            gap = np.abs(np.float32(limit) - turn(np.array([normal]), point)[0])
            face = np.where(gap < least, np.uint8(number), face)
            least = np.minimum(least, gap)
        return face


@dataclasses.dataclass(frozen=True)
class Ellipsoid(Solid):
    """An ellipsoid with the semi-axes `half`."""

    def span(self, origin, direction):
        half = np.float32(self.half).reshape((3,) + (1,) * (direction.ndim - 1))
        origin, direction = origin / half, direction / half
        square = dot(direction, direction)
        middle = -dot(origin, direction) / square
        # The distance of the ray's nearest point to the centre: stable for small, far spheres.
        nearest = origin + middle * direction
        inside = np.float32(1) - dot(nearest, nearest)
        reach = np.sqrt(np.maximum(inside, 0) / square)
        return middle - reach, np.where(inside > 0, middle + reach, np.float32(-np.inf))

    def surface(self, point):
        half = np.asarray(self.half, np.float32).reshape(3, 1)
        normal = point / (half * half)
        normal = normal / np.sqrt(dot(normal, normal))
        u = np.arctan2(point[2] / half[2], point[0] / half[0]) * half[0]
        v = np.arcsin(np.clip(point[1] / half[1], -1, 1)) * half[1]
        return np.zeros(u.shape, np.uint8), normal, u, v


@dataclasses.dataclass(frozen=True)
class Frustum(Solid):
    """A round body along the local y axis whose radius goes from `bottom` to `top`.

    Face 0 is the side, 1 the bottom, 2 the top.
    """

    bottom: float = 1.0
    top: float = 1.0

    def _radius(self) -> tuple[np.float32, np.float32]:
        slope = (self.top - self.bottom) / (2 * self.half[1])
        return np.float32((self.top + self.bottom) / 2), np.float32(slope)

    def span(self, origin, direction):
        # float64: the quadratic cancels for thin, far poles.
        (ox, oy, oz), (dx, dy, dz) = origin.astype(np.float64), direction.astype(np.float64)
        radius, slope = (float(value) for value in self._radius())
        a = dx * dx + dz * dz - (slope * dy) ** 2 + 1e-12
        b = ox * dx + oz * dz - slope * (radius + slope * oy) * dy
        c = ox * ox + oz * oz - (radius + slope * oy) ** 2
        first, second = ((sign * self.half[1] - oy) / (dy + 1e-20) for sign in (-1, 1))
        low, high = np.minimum(first, second), np.maximum(first, second)
        root = np.sqrt(np.maximum(b * b - a * c, 0))
        # Between its ends the body is convex: a ray enters it at an end or through the side.
        enter = np.where((a * low + 2 * b) * low + c <= 0, low, np.maximum((-b - root) / a, low))
        leave = np.where((a * high + 2 * b) * high + c <= 0, high, np.minimum((root - b) / a, high))
        return enter.astype(np.float32), leave.astype(np.float32)

    def surface(self, point):
        radius, slope = self._radius()
        length = np.sqrt(point[0] ** 2 + point[2] ** 2) + _EPSILON
        height = np.float32(self.half[1])
        side = np.abs(length - (radius + slope * point[1]))
        face = np.argmin([side, np.abs(point[1] + height), np.abs(height - point[1])], axis=0)
        tilt = 1 / np.sqrt(1 + slope * slope)
        lateral = np.stack([point[0] / length, np.full_like(length, -slope), point[2] / length])
        level = np.zeros_like(lateral)
        level[1] = np.where(face == 1, -1, 1)
        normal = np.where(face == 0, lateral * tilt, level)
        u = np.where(face == 0, np.arctan2(point[2], point[0]) * radius, point[0])
        return face, normal, u, np.where(face == 0, point[1], point[2])
