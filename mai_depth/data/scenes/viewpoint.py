"""The place of a camera that looks at something from near."""

import dataclasses
import math

import numpy as np
from numpy.random import Generator

from mai_depth.data.scenes.build import Group
from mai_depth.data.scenes.build import Vector
from mai_depth.data.scenes.raycast import Camera
from mai_depth.data.scenes.raycast import trace
from mai_depth.data.scenes.solids import Box
from mai_depth.data.scenes.solids import Solid
from mai_depth.data.scenes.solids import rotation

NEAREST_M = 0.15
"""No surface in the view has a z depth below this."""
NEAR_M = 1.5
"""More than `NEAR_SHARE` of the view is nearer than this."""
NEAR_SHARE = 0.35
DISTANCES_M = (0.3, 1.5)
"""From the lens to the point that it aims at, along the axis."""
PITCHES_DEG = (-60.0, 0.0)
FOVS_DEG = (45.0, 90.0)
MAX_ROLL_DEG = 10.0

_TRIES = 30
_BODIES = 7  # a view of fewer bodies is too bare
_LARGEST = 0.75  # so is a view of which one body fills more than this


@dataclasses.dataclass(frozen=True)
class Sight:
    """Something to look at.

    Attributes:
        group: The frame of the rest; its back is at z = 0, its front towards -z.
        low: Lower corner of the box of points to aim at, metres.
        high: Its upper corner.
        yaw: Greatest yaw of a camera, radians; 0 looks along z.
    """

    group: Group
    low: Vector
    high: Vector
    yaw: float


def look(solids: list[Solid], sight: Sight, random: Generator) -> Camera | None:
    """Finds a camera near a sight, with nothing right at the lens and no bare view.

    Args:
        solids: The scene; the first is the room.
        sight: What to look at.
        random: Source of all choices.

    Returns:
        The camera, or None if no candidate is good.
    """
    for _ in range(_TRIES):
        camera = _candidate(sight, random)
        if _is_clear(solids, camera) and _is_near(solids, camera):
            return camera
    return None


def _candidate(sight: Sight, random: Generator) -> Camera:
    aim = sight.group.inner(tuple(random.uniform(sight.low, sight.high))).at
    yaw = sight.group.yaw + random.uniform(-sight.yaw, sight.yaw)
    pitch = math.radians(random.uniform(*PITCHES_DEG))
    distance = math.exp(random.uniform(*np.log(DISTANCES_M)))
    position = aim - distance * rotation(yaw, pitch)[:, 2]
    roll = float(np.clip(random.normal(0, 4), -MAX_ROLL_DEG, MAX_ROLL_DEG))
    fov = math.radians(random.uniform(*FOVS_DEG))
    return Camera(tuple(position.tolist()), yaw, pitch, math.radians(roll), fov)


def _is_clear(solids: list[Solid], camera: Camera) -> bool:
    """Whether all bodies are so far away that no z depth in the view can be below the limit."""
    height, width = camera.size
    corner = math.hypot(width, height) / 2 / camera.focal
    needed = NEAREST_M * math.hypot(1, corner)  # along the ray in the corner of the view
    position = np.asarray(camera.position)
    for solid in solids:
        beyond = np.abs(solid.turned.T @ (position - solid.center)) - solid.half
        if isinstance(solid, Box) and solid.inside:
            if beyond.max() > -needed:
                return False
        elif np.linalg.norm(np.maximum(beyond, 0)) < needed:
            return False
    return True


def _is_near(solids: list[Solid], camera: Camera) -> bool:
    small = dataclasses.replace(camera, size=(24, 32))
    depth, number = trace(solids, small)
    counts = np.bincount(number.ravel() + 1)
    bare = np.count_nonzero(counts) < _BODIES or counts.max() > _LARGEST * number.size
    return bool(np.mean(depth < NEAR_M) > NEAR_SHARE and not bare)
