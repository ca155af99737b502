"""Monocular depth that runs anywhere: a small Keras network, distilled, exported and measured.

Importing this package is cheap: TensorFlow is loaded by the modules that need it.
"""

__version__ = "0.2.0"


def __getattr__(name: str):
    """Loads the few names of the package's front door when they are asked for."""
    from importlib import import_module

    homes = {
        "Augmentation": "data.augment",
        "Distiller": "training.distiller",
        "build_student": "network.student",
        "build_teacher": "network.teacher",
        "depth_metrics": "training.keras_metrics",
        "evaluate": "training.evaluation",
        "list_pretrained": "network.pretrained",
        "load_model": "network.model_file",
        "load_pretrained": "network.pretrained",
        "open_split": "data.batches",
        "predict_pairs": "training.evaluation",
        "pretrained_path": "network.pretrained",
        "save_model": "network.model_file",
        "training_batches": "data.batches",
        "training_view": "training.distiller",
    }
    if name not in homes:
        raise AttributeError(f"module 'mai_depth' has no attribute {name!r}")
    return getattr(import_module(f"mai_depth.{homes[name]}"), name)
