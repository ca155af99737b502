"""Monocular depth that runs anywhere: a small Keras network, distilled, exported and measured.

Importing this package is cheap: TensorFlow is loaded by the names that need it, when they are used.
"""

from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from mai_depth.data.augmentation import Augmentation
    from mai_depth.data.batches import training_batches
    from mai_depth.data.sources import open_split
    from mai_depth.network.model_file import load_model
    from mai_depth.network.model_file import save_model
    from mai_depth.network.pretrained import list_pretrained
    from mai_depth.network.pretrained import load_pretrained
    from mai_depth.network.pretrained import pretrained_path
    from mai_depth.network.student import build_student
    from mai_depth.network.teacher import build_teacher
    from mai_depth.training.distiller import Distiller
    from mai_depth.training.distiller import training_view
    from mai_depth.training.evaluation import evaluate
    from mai_depth.training.evaluation import predict_pairs
    from mai_depth.training.keras_metrics import depth_metrics
    from mai_depth.training.teacher_pool import fill_teacher_views

__version__ = "0.2.0"

__all__ = [
    "Augmentation",
    "Distiller",
    "build_student",
    "build_teacher",
    "depth_metrics",
    "evaluate",
    "fill_teacher_views",
    "list_pretrained",
    "load_model",
    "load_pretrained",
    "open_split",
    "predict_pairs",
    "pretrained_path",
    "save_model",
    "training_batches",
    "training_view",
]

_HOMES = {
    "Augmentation": "data.augmentation",
    "Distiller": "training.distiller",
    "build_student": "network.student",
    "build_teacher": "network.teacher",
    "depth_metrics": "training.keras_metrics",
    "evaluate": "training.evaluation",
    "fill_teacher_views": "training.teacher_pool",
    "list_pretrained": "network.pretrained",
    "load_model": "network.model_file",
    "load_pretrained": "network.pretrained",
    "open_split": "data.sources",
    "predict_pairs": "training.evaluation",
    "pretrained_path": "network.pretrained",
    "save_model": "network.model_file",
    "training_batches": "data.batches",
    "training_view": "training.distiller",
}


def __getattr__(name: str) -> Any:
    """Loads a public name on its first use."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'mai_depth' has no attribute {name!r}")
    return getattr(import_module(f"mai_depth.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """The public names, and those of any module."""
    return sorted({*globals(), *__all__})
