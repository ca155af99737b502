"""An exported model against the Keras model that it was made of, on pictures."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from mai_depth.data.pairs import Pairs
from mai_depth.depth import MIN_DEPTH_M
from mai_depth.errors import UserError
from mai_depth.metrics import affine_align
from mai_depth.metrics import image_metrics
from mai_depth.metrics import mean_metrics
from mai_depth.metrics import median_scale
from mai_depth.metrics import si_rmse

NUM_PICTURES = 16
_PROTOCOLS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "as it is": lambda truth, depth: depth,
    "median": median_scale,
    "scale and shift": affine_align,
}

# Of depth, the mean difference that rounding may cause. The converter adds the same float32 numbers
# in another order: 0.0001 % was measured. Weights in float16 have 11 bits, 0.05 % each, of which
# 55 layers made 0.17 to 0.34 %; the networks themselves are wrong by 20 %.
_MEAN_LIMITS = {"none": 1e-4, "float16": 0.01}
# Integers are compared by what they cost against the truth. Two trainings that differ by their seed
# alone are 0.006 apart on 80 pictures: less than that would be lost in the choice of the seed.
_SI_RMSE_LIMIT = 0.005


@dataclasses.dataclass(frozen=True)
class Verification:
    """How far an exported model is from its Keras model.

    Attributes:
        images: Pictures compared.
        max_difference_m: Largest difference of any pixel.
        mean_difference_m: Mean absolute difference.
        mean_log_difference: Of the natural logarithm of depth: 0.01 is one percent of any depth.
        si_rmse: Of the exported model on these pictures, the mean over them.
        si_rmse_keras: Of the Keras model.
        passed: Whether the limit for the format was kept.
        limit: In words.
        protocols: Metrics of the exported model on these pictures, by how depth is fitted to the
            truth first: `as it is`, `median` (`metrics.median_scale`) and `scale and shift`
            (`metrics.affine_align`).
    """

    images: int
    max_difference_m: float
    mean_difference_m: float
    mean_log_difference: float
    si_rmse: float
    si_rmse_keras: float
    passed: bool
    limit: str
    protocols: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)

    @property
    def si_rmse_change(self) -> float:
        """Positive when the exported model is worse."""
        return self.si_rmse - self.si_rmse_keras

    def as_dict(self) -> dict[str, Any]:
        """The figures for a JSON file; `protocols` stand beside them."""
        figures = dataclasses.asdict(self) | {"si_rmse_change": self.si_rmse_change}
        figures.pop("protocols")
        return figures

    def __str__(self) -> str:
        return format_verification(self.as_dict())


def format_verification(figures: dict[str, Any], upsample: str = "") -> str:
    """Writes the figures of `Verification.as_dict` in one line.

    Args:
        figures: Of a verification.
        upsample: The form of upsampling: nearest is compared with a Keras model of that form.

    Returns:
        The line.
    """
    form = " with nearest upsampling" if upsample.endswith("nearest") else ""
    return (
        f"against the Keras model{form} on {figures['images']} pictures: mean "
        f"{figures['mean_difference_m']:.2g} m ({100 * figures['mean_log_difference']:.2g} %), max "
        f"{figures['max_difference_m']:.2g} m, si-RMSE "
        f"{figures['si_rmse_keras']:.4f} -> {figures['si_rmse']:.4f} "
        f"({figures['si_rmse_change']:+.4f}); limit: {figures['limit']}"
    )


def verify(
    run: Callable[[np.ndarray], np.ndarray], model: keras.Model, pairs: Pairs, quantization: str
) -> Verification:
    """Compares on `NUM_PICTURES` pairs, taken evenly.

    Args:
        run: From a picture uint8 [height, width, 3] to metres [height, width].
        model: The Keras model with the same form of upsampling (the plain one of it).
        pairs: Pictures and their depth.
        quantization: Decides the limit.

    Returns:
        The figures.

    Raises:
        UserError: No pictures, or a depth that is not finite, which no limit could allow.
    """
    count = min(NUM_PICTURES, len(pairs))
    if not count:
        raise UserError("verification: no pictures; give some in --data_dir")
    differences, scores, keras_scores = [], [], []
    fitted: dict[str, list[dict[str, float]]] = {name: [] for name in _PROTOCOLS}
    for index in np.linspace(0, len(pairs) - 1, count).round().astype(int).tolist():
        image = np.asarray(pairs.rgb[index])
        expected = model.predict_on_batch(image[None].astype(np.float32))[0, ..., 0]
        depth = run(image)
        if not (np.isfinite(depth).all() and np.isfinite(expected).all()):
            raise UserError(f"verification: the depth of picture {pairs.names[index]} is not "
                            "finite; train the student again")
        difference = np.abs(depth - expected)
        logs = [np.log(np.maximum(one, MIN_DEPTH_M)) for one in (depth, expected)]
        differences.append(
            (difference.max(), difference.mean(), np.abs(logs[0] - logs[1]).mean()))
        truth = pairs.depth_m(index)
        scores.append(si_rmse(truth, depth))
        keras_scores.append(si_rmse(truth, expected))
        for name, fit in _PROTOCOLS.items():
            fitted[name].append(image_metrics(truth, fit(truth, depth)))
    largest = np.max(differences, axis=0)[0]
    _, mean, mean_log = np.mean(differences, axis=0).tolist()
    score, keras_score = float(np.mean(scores)), float(np.mean(keras_scores))
    passed, limit = _judge(quantization, mean_log, score - keras_score)
    return Verification(
        images=count,
        max_difference_m=float(largest),
        mean_difference_m=mean,
        mean_log_difference=mean_log,
        si_rmse=score,
        si_rmse_keras=keras_score,
        passed=passed,
        limit=limit,
        protocols={name: mean_metrics(metrics) for name, metrics in fitted.items()},
    )


def _judge(
    quantization: str, mean_log: float, si_rmse_change: float
) -> tuple[bool, str]:
    if quantization in _MEAN_LIMITS:
        limit = _MEAN_LIMITS[quantization]
        return mean_log <= limit, f"mean {100 * limit:g} %"
    return si_rmse_change <= _SI_RMSE_LIMIT, f"si-RMSE +{_SI_RMSE_LIMIT:g}"
