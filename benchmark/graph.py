"""A depth graph that takes pictures of any size, and the picture that it is timed with."""

import numpy as np
from PIL import Image

from mai_depth.tflite.depth_graph import DepthGraph


class ResizingGraph(DepthGraph):
    """A `DepthGraph` whose pictures and maps are resized by Pillow where their sizes differ."""

    def set_picture(self, rgb: np.ndarray) -> None:
        """Writes a picture into the input.

        Args:
            rgb: uint8 [height, width, 3]; another size than the input's is resized (Pillow's
                bilinear filter, which averages when it shrinks).
        """
        super().set_picture(_resized(rgb, self.input_size))

    def predict(self, rgb: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """Predicts the depth of one picture.

        Args:
            rgb: uint8 [height, width, 3].
            size: (height, width) to resize the depth to, or None for the graph's own.

        Returns:
            float32 [height, width] in metres.

        Raises:
            UserError: LiteRT cannot run the graph on it.
        """
        depth = super().predict(rgb)
        return depth if size is None else _resized(depth, size)


def sample_picture() -> np.ndarray:
    """Makes the picture that is used for timing: gradients and noise, always the same.

    Returns:
        uint8 [480, 640, 3].
    """
    height, width = 480, 640
    rows, columns = np.mgrid[0:height, 0:width]
    base = np.stack([255 * rows / height, 255 * columns / width, 128 + 0 * rows], axis=-1)
    noise = np.random.default_rng(0).normal(0, 20, base.shape)
    return np.clip(base + noise, 0, 255).astype(np.uint8)


def _resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if values.shape[:2] == tuple(size):
        return values
    height, width = size
    image = Image.fromarray(values)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
