"""What a picture is made of: bodies, lights, a camera and the surroundings."""

import dataclasses
from collections.abc import Callable

import numpy as np

from mai_depth.data.scenes.raycast import Camera
from mai_depth.data.scenes.solids import Box
from mai_depth.data.scenes.solids import Solid
from mai_depth.data.scenes.solids import dot


@dataclasses.dataclass(frozen=True)
class Light:
    """A lamp, or the sun.

    Attributes:
        at: Position in metres, or for the sun the direction towards it.
        color: Linear RGB; for a lamp the irradiance at 1 m.
        sun: `at` is a direction.
        spread: Radius of the lamp in metres; shadows get soft edges of that width.
        in_turn: Neighbouring pixels see different parts of the lamp in turn instead of at random,
            which leaves less grain in the wide soft shadows of near views.
        opening: A box that the light must pass through (a window for the sun), or None.
    """

    at: tuple[float, float, float]
    color: tuple[float, float, float]
    sun: bool = False
    spread: float = 0.0
    in_turn: bool = False
    opening: Solid | None = None

    def towards(self, point: np.ndarray) -> tuple[np.ndarray, np.ndarray | np.float32]:
        """Computes how the light arrives at points.

        Args:
            point: float32 [3, ...], metres.

        Returns:
            Unit directions to the lamp, float32 [3, ...], and the irradiance on a surface that
            faces it, in multiples of `color`, float32 [...] or one number.
        """
        at = np.array(self.at, np.float32).reshape((3,) + (1,) * (point.ndim - 1))
        if self.sun:
            return at / np.sqrt(dot(at, at)), np.float32(1)
        towards = at - point
        square = dot(towards, towards)
        # The addends keep the light finite close to the lamp.
        return towards / np.sqrt(square + np.float32(1e-6)), 1 / (square + np.float32(0.3))


@dataclasses.dataclass(frozen=True)
class Scene:
    """Everything that a picture is made of.

    Attributes:
        solids: The bodies.
        lights: The lights.
        camera: The camera.
        above: Linear RGB of the ambient light from above.
        below: The same from below.
        sky: Takes ray directions [3, N], returns linear RGB [3, N]; None indoors.
        haze: (linear RGB, distance in metres at which it hides 63 %), or None.
        room: The room that is seen from inside, or None.
        contact_m: Reach of the darkening beside a body, metres.
    """

    solids: list[Solid]
    lights: list[Light]
    camera: Camera
    above: tuple[float, float, float]
    below: tuple[float, float, float]
    sky: Callable[[np.ndarray], np.ndarray] | None = None
    haze: tuple[tuple[float, float, float], float] | None = None
    room: Box | None = None
    contact_m: float = 0.12
