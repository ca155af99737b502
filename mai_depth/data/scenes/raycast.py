"""What a camera sees of a list of bodies: which one, and at what z depth.

A camera's rays have a z component of 1 in its frame, so that the ray parameter is the z depth, as
RGB-D sensors give it.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from mai_depth.data.scenes.solids import NEAR_M
from mai_depth.data.scenes.solids import Solid
from mai_depth.data.scenes.solids import rotation

_MARGIN_AREA = 12  # px; a window that is no more than its margin is of a body below a pixel


@dataclasses.dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion.

    Attributes:
        position: World, metres.
        yaw: Radians; 0 looks along z.
        pitch: Radians; positive looks up.
        roll: Radians.
        fov: Horizontal field of view, radians.
        size: (height, width) in pixels.
    """

    position: tuple[float, float, float]
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    fov: float = 1.05
    size: tuple[int, int] = (480, 640)

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return self.size[1] / 2 / np.tan(self.fov / 2)

    @functools.cached_property
    def turned(self) -> np.ndarray:
        """[3, 3], the camera's axes (right, up, forward) as columns."""
        return rotation(self.yaw, self.pitch, self.roll)

    def rays(
        self, frame: np.ndarray | None = None, window: tuple[slice, slice] = (slice(None),) * 2
    ) -> np.ndarray:
        """Directions of the pixel centres, of length 1 along the optical axis.

        Args:
            frame: [3, 3], the axes of the frame to return them in, as columns; None for the world.
            window: Rows and columns.

        Returns:
            float32 [3, rows, columns].
        """
        height, width = self.size
        x = ((np.arange(width) + 0.5 - width / 2) / self.focal)[window[1]]
        y = ((height / 2 - 0.5 - np.arange(height)) / self.focal)[window[0]]
        axes = self.turned if frame is None else frame.T @ self.turned
        along = (axes[:, :1] * x + axes[:, 2:]).astype(np.float32)
        down = (axes[:, 1:2] * y).astype(np.float32)
        return down[:, :, None] + along[:, None, :]

    def windows(self, corners: np.ndarray) -> np.ndarray:
        """Rows and columns that bodies can cover, and their least z depth.

        Args:
            corners: [bodies, 3, 8], world.

        Returns:
            [bodies, 5]: first and last row and column (as in a slice), the least z depth.
        """
        height, width = self.size
        local = np.einsum("ij,nik->njk", self.turned, corners - np.reshape(self.position, (3, 1)))
        x, y, z = np.moveaxis(local, 1, 0)
        safe = np.maximum(z, NEAR_M)
        columns, rows = width / 2 + self.focal * x / safe, height / 2 - self.focal * y / safe
        box = [rows.min(1) - 1, rows.max(1) + 2, columns.min(1) - 1, columns.max(1) + 2]
        found = np.stack([*box, z.min(1)], axis=1)
        crossing = z.min(1) < NEAR_M
        found[crossing, :4] = (0, height, 0, width)
        found[crossing & (z.max(1) < NEAR_M), :4] = 0
        np.clip(found[:, :2], 0, height, out=found[:, :2])
        np.clip(found[:, 2:4], 0, width, out=found[:, 2:4])
        return found


def trace(solids: Sequence[Solid], camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Finds what each pixel sees.

    Args:
        solids: The bodies.
        camera: The camera.

    Returns:
        z depth, float32 [height, width] in metres, infinite where there is nothing, and the number
        of the body, int16 [height, width], -1 where there is none.
    """
    depth = np.full(camera.size, np.inf, np.float32)
    number = np.full(camera.size, -1, np.int16)
    windows = camera.windows(np.stack([solid.corners for solid in solids]))
    # From near to far, so that hidden bodies can be skipped.
    for i in np.argsort(windows[:, 4], kind="stable"):
        top, bottom, left, right = windows[i, :4].astype(int)
        if (bottom - top) * (right - left) <= _MARGIN_AREA:
            continue
        window = (slice(top, bottom), slice(left, right))
        before = depth[window]
        if before.max() <= windows[i, 4]:
            continue
        solid = solids[i]
        origin = solid.turned.T @ (np.asarray(camera.position) - solid.center)
        rays = camera.rays(solid.turned, window)
        distance = solid.first_hit(np.float32(origin).reshape(3, 1, 1), rays)
        nearer = distance < before
        np.copyto(before, distance, where=nearer)
        np.copyto(number[window], np.int16(i), where=nearer)
    return depth, number
