"""Depth of a video that does not flicker: a recursive filter, gated by motion.

Where the picture stays the same, depth follows slowly; where it changes, at once. Needs OpenCV, as
every video does.
"""

import math

import numpy as np

from mai_depth.predict.depth_network import DepthNetwork
from mai_depth.video_frames import load_opencv

GATE_SIZE = (160, 120)  # (width, height): noise averages out, and it costs a third of a millisecond

_FRAMES = 8  # that are averaged where nothing moves
_SCALE_SHARE = 0.1  # by which a common factor of the whole picture is followed in a frame
_STILL, _MOVED = 4.0, 8.0  # levels of 255 between which a change counts more and more
_IS_STILL = 0.1
_SPREAD = 7  # cells around a moving one that move with it, or plain patches of it would lag
_MIN_STILL = 0.1  # share of the picture that must be still, to tell a factor from motion
_SPARSE = 5  # every so many rows and columns tell a median as well as all
_KERNEL = np.ones((_SPREAD, _SPREAD), np.uint8)


class SteadyDepth:
    """Filters the answers of a network to one picture after another.

    At a scale of 120x160 it keeps log depth and the picture that it belongs to, each the mean of
    the frames since something moved there, of `_FRAMES` at most. So a slow change of the picture is
    noticed once it has added up. What all still pixels have in common, the median log
    ratio between frames, is jitter of the scale and is followed slowly; only then single pixels are
    compared. Each call takes in one picture.
    """

    def __init__(self) -> None:
        self._cv2 = load_opencv()
        self._log: np.ndarray | None = None
        self._gray: np.ndarray | None = None
        self._factor: np.ndarray | None = None
        self._count: np.ndarray = np.ones(GATE_SIZE[::-1], np.float32)

    def __call__(self, rgb: np.ndarray, depth_m: np.ndarray) -> np.ndarray:
        """Filters.

        Args:
            rgb: uint8 [height, width, 3], the picture as the network saw it.
            depth_m: float32 [height', width'] in metres, the network's answer to it; changed in
                place, for new memory costs as much as the rest.

        Returns:
            `depth_m`, steady. The first answer, and one that holds something else than numbers
            above 0, comes back as it is.
        """
        cv2 = self._cv2
        gray, log = self._reduced(rgb), self._log_of(depth_m)
        before = self._log
        if log is None:
            self._log = self._gray = None
            return depth_m
        if before is None or self._gray is None:
            self._log, self._gray, self._count = log, gray, np.ones_like(log)
            return depth_m
        moved = self._moved(gray - self._gray)
        change = log - before
        still = moved[::_SPARSE, ::_SPARSE] < _IS_STILL
        jitter = 0.0
        if still.mean() >= _MIN_STILL:
            jitter = _median(change[::_SPARSE, ::_SPARSE][still])
        self._count = np.minimum(self._count * (1 - moved) + 1, _FRAMES)
        share = 1 / self._count
        steady = before + _SCALE_SHARE * jitter + share * (change - jitter)
        self._log, self._gray = steady, self._gray + share * (gray - self._gray)
        self._factor = cv2.resize(cv2.exp(steady - log), depth_m.shape[::-1], dst=self._factor,
                                  interpolation=cv2.INTER_LINEAR)
        return cv2.multiply(depth_m, self._factor, dst=depth_m)

    def _reduced(self, rgb: np.ndarray) -> np.ndarray:
        """The brightness, less its median: a change of exposure is not motion."""
        cv2 = self._cv2
        small = cv2.cvtColor(self._small(rgb), cv2.COLOR_RGB2GRAY)
        gray = cv2.GaussianBlur(small.astype(np.float32), (5, 5), 0)
        return gray - np.float32(_median(gray[::_SPARSE, ::_SPARSE].ravel()))

    def _log_of(self, depth_m: np.ndarray) -> np.ndarray | None:
        small = self._small(depth_m)
        least = float(small.min())
        if not (least > 0 and math.isfinite(float(small.max()))):
            return None
        return self._cv2.log(small)

    def _small(self, values: np.ndarray) -> np.ndarray:
        """Takes samples; most rows are never read, for it is the memory that takes time."""
        step = max(values.shape[0] // GATE_SIZE[1], 1)
        return self._cv2.resize(
            values[step // 2 :: step], GATE_SIZE, interpolation=self._cv2.INTER_LINEAR)

    def _moved(self, change: np.ndarray) -> np.ndarray:
        """How much each cell has changed: 0 (still) to 1, spread to its neighbours."""
        cv2 = self._cv2
        share = (np.abs(change) - _STILL) * (1 / (_MOVED - _STILL))
        share = cv2.min(cv2.max(cv2.dilate(share, _KERNEL), 0.0), 1.0)
        return cv2.blur(share, _KERNEL.shape)


def _median(values: np.ndarray) -> float:
    """The upper median; `np.median` takes four times as long."""
    return float(np.partition(values, values.size // 2)[values.size // 2])


class SteadyNetwork:
    """A network whose answers to one picture after another are filtered (see `DepthNetwork`).

    Attributes:
        input_size: (height, width).

    Args:
        network: The network.
    """

    def __init__(self, network: DepthNetwork):
        self._network, self._steady = network, SteadyDepth()
        self.input_size = network.input_size

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Answers with metres, see `DepthNetwork`."""
        return self._steady(rgb, self._network(rgb))
