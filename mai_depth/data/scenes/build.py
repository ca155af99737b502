"""Puts bodies together: groups with a frame of their own, and the choice of a camera."""

from collections.abc import Sequence

import numpy as np

from mai_depth.data.scenes import textures
from mai_depth.data.scenes.raycast import Camera
from mai_depth.data.scenes.raycast import trace
from mai_depth.data.scenes.solids import Box
from mai_depth.data.scenes.solids import Ellipsoid
from mai_depth.data.scenes.solids import Frustum
from mai_depth.data.scenes.solids import Material
from mai_depth.data.scenes.solids import Solid
from mai_depth.data.scenes.solids import rotation

Vector = tuple[float, float, float]


class Group:
    """Adds bodies to a list, placed relative to a point on the floor and a heading.

    Args:
        solids: The list to add to.
        at: World position of the group's origin, metres.
        yaw: Radians about y.
    """

    def __init__(self, solids: list[Solid], at: Vector = (0, 0, 0), yaw: float = 0.0):
        self.solids = solids
        self.at = np.asarray(at, np.float64)
        self.yaw = yaw
        self.turned = rotation(yaw)

    def inner(self, at: Vector, yaw: float = 0.0) -> "Group":
        """Returns a group whose origin is at `at` of this one."""
        return Group(self.solids, tuple(self.at + self.turned @ np.asarray(at)), self.yaw + yaw)

    def box(self, at: Vector, size: Vector, material: Material, lean=(0.0, 0.0), **more) -> None:
        """Adds a box; `at` is the middle of its base, `size` its width, height and depth.

        `lean` is its own (pitch, roll) in radians; `more` goes to `Box`.
        """
        center = self.at + self.turned @ np.add(at, (0, size[1] / 2, 0))
        turned = self.turned @ rotation(0, *lean) if any(lean) else self.turned
        self.solids.append(Box(center, np.asarray(size) / 2, turned, material, **more))

    def ellipsoid(
        self, at: Vector, size: Vector, material: Material, shape=Ellipsoid, **more
    ) -> None:
        """Adds an ellipsoid; `at` is its lowest point when upright, `size` its three diameters."""
        center = self.at + self.turned @ np.add(at, (0, size[1] / 2, 0))
        self.solids.append(shape(center, np.asarray(size) / 2, self.turned, material, **more))

    def round(
        self,
        at: Vector,
        height: float,
        bottom: float,
        top: float,
        material: Material,
        shape=Frustum,
        **more,
    ) -> None:
        """Adds an upright frustum of radii `bottom` and `top`; `at` is the middle of its base."""
        center = self.at + self.turned @ np.add(at, (0, height / 2, 0))
        radius = max(bottom, top)
        half = np.array([radius, height / 2, radius])
        self.solids.append(
            shape(center, half, self.turned, material, bottom=bottom, top=top, **more)
        )

    def rod(self, at: Vector, length: float, radius: float, material: Material, **more) -> None:
        """Adds a cylinder along the group's x axis; `at` is its middle."""
        center = self.at + self.turned @ np.asarray(at)
        half = np.array([radius, length / 2, radius])
        turned = self.turned @ rotation(0, 0, np.pi / 2)
        self.solids.append(
            Frustum(center, half, turned, material, bottom=radius, top=radius, **more)
        )


def paint(pattern, gloss: float = 0.0, emission: float = 0.0, **settings) -> Material:
    """Returns a material with a pattern of `textures` and its settings."""
    return Material(lambda u, v, pixel: pattern(u, v, pixel, **settings), gloss, emission)


def pick(random: np.random.Generator, colors: Sequence[Vector], spread: float = 0.12) -> np.ndarray:
    """Picks one of several sRGB colours and varies it a little: linear float32 [3, 1]."""
    color = textures.linear(*colors[int(random.integers(len(colors)))])
    varied = color * np.exp(random.normal(0, spread)) * np.exp(random.normal(0, spread / 4, (3, 1)))
    return np.clip(varied, 0, 0.9).astype(np.float32)


def leafy(share: float, clump: float, seed: int):
    """Returns a mask for foliage: `share` of the surface is solid, in clumps of `clump` metres."""

    def mask(points: np.ndarray) -> np.ndarray:
        u = points[0] + np.float32(0.7) * points[2] + np.float32(seed % 17)
        v = points[1] - np.float32(0.4) * points[2]
        value = textures.speckle(u, v, 12 * clump)
        return value > np.float32(1.1 - 2.2 * share)

    return mask


def best_camera(
    solids: list[Solid], candidates: list[Camera], nearest: float = 0.55, median: float = 0.8
) -> Camera:
    """Picks the candidate that sees most: many bodies, near and far, but not at the lens.

    Args:
        solids: The scene.
        candidates: Cameras to choose from; at least one.
        nearest: A view is bad when more than 2 % of it is nearer than this, metres.
        median: A view is bad when half of it is nearer than this, metres.
    """
    large = [solid for solid in solids if np.max(solid.half) > 0.3]
    scores = []
    for camera in candidates:
        small = Camera(camera.position, camera.yaw, camera.pitch, camera.roll, camera.fov, (24, 32))
        depth, number = trace(large, small)
        counts = np.bincount(number.ravel() + 1, minlength=1)
        share = counts[counts > 0] / number.size
        score = -np.sum(share * np.log(share)) + 2 * np.std(np.log(np.clip(depth, 0.1, 40)))
        score -= 10 * (np.mean(depth < nearest) > 0.02) + 5 * (np.median(depth) < median)
        scores.append(score)
    return candidates[int(np.argmax(scores))]
