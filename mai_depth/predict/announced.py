"""Predictions in a camera's metres, with one line for each way in which they were scaled."""

import dataclasses
from collections.abc import Callable

from mai_depth.predict.camera_picture import CameraPicture
from mai_depth.predict.depth_network import DepthNetwork
from mai_depth.predict.focal_length import angle_of_focal_px
from mai_depth.predict.focal_length import in_pixels
from mai_depth.predict.prediction import Prediction
from mai_depth.predict.prediction import Style
from mai_depth.predict.scale import Scale


class Announced:
    """A scale that says what it does, each thing once.

    Args:
        scale: What is known of the camera.
        say: Called with each line.
    """

    def __init__(self, scale: Scale, say: Callable[[str], None]):
        self._scale, self._say = scale, say
        self._said: set[str] = set()

    def __call__(self, prediction: Prediction, network: DepthNetwork) -> Prediction:
        """Multiplies depth.

        Args:
            prediction: Of the network.
            network: Which one.

        Returns:
            The prediction in metres of the camera.
        """
        factor, line = self._scale.of(prediction.picture, network.input_size[::-1])
        if line and line not in self._said:
            self._said.add(line)
            self._say(line)
        return prediction.scaled(factor)

    def shaped(self, style: Style, picture: CameraPicture, network: DepthNetwork) -> Style:
        """Puts the angle of the picture's camera, or else of the network's own, into a style."""
        focal_px = self._scale.focal_px_of(picture)
        if focal_px is None and self._scale.canonical is not None:
            focal_px = in_pixels(self._scale.canonical, picture.size, network.input_size[::-1])
        if focal_px is None:
            return style
        return dataclasses.replace(
            style, field_of_view_deg=angle_of_focal_px(focal_px, picture.size))
