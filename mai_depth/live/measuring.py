"""Calibration by clicks on the page: the factor from a network's depth to metres.

All pages show the same camera, so they share one calibration.
"""

import os
import threading

from mai_depth.checksum import file_sha256
from mai_depth.predict.calibration import fit_scale
from mai_depth.predict.camera_file import Camera
from mai_depth.predict.camera_file import camera_json
from mai_depth.predict.camera_picture import CameraPicture

MAX_POINTS = 1000


class Calibration:
    """Clicked points and the factor fitted to them.

    Args:
        network: The network's file.
        network_size: (width, height) of its input.
        known: Description of `--camera`, which applies until a point is clicked.
    """

    def __init__(self, network: str | os.PathLike, network_size: tuple[int, int], known: str = ""):
        self._known, self._network_size = known, network_size
        self._name, self._sha256 = os.path.basename(network), file_sha256(network)
        self._lock = threading.Lock()
        self._points: list[tuple[float, float]] = []
        self._first = Camera(1.0)
        self._camera: Camera | None = None
        self._disagreeing = 0

    @property
    def camera(self) -> Camera | None:
        """The calibration; None before the first point."""
        return self._camera

    def add(self, picture: CameraPicture, answered_m: float, measured_m: float) -> None:
        """Adds a point.

        Args:
            picture: Where it was clicked.
            answered_m: The network's depth there, before any factor.
            measured_m: The true distance.
        """
        with self._lock:
            if not self._points:
                self._first = Camera(1.0, size=picture.size, focal_px=picture.focal_px)
            answered_m *= self._first.factor(picture.size, picture.focal_px, self._network_size)
            self._points = [*self._points, (answered_m, measured_m)][-MAX_POINTS:]
            fit = fit_scale(*zip(*self._points, strict=True))
            self._disagreeing = len(fit.disagreeing())
            self._camera = Camera(
                fit.scale, fit.standard_error, len(self._points), self._name, self._sha256,
                self._first.size, self._first.focal_px)

    def reset(self) -> None:
        """Forgets the points; the scale of the flags applies again."""
        with self._lock:
            self._points, self._camera, self._disagreeing = [], None, 0

    def told(self) -> dict:
        """Returns the message that describes it to a page."""
        with self._lock:
            camera = self._camera
            if camera is None:
                return {"type": "calibration", "points": 0, "text": self._known}
            return {"type": "calibration", "points": camera.points, "text": str(camera),
                    "disagreeing": self._disagreeing, "file": camera_json(camera)}
