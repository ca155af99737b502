"""Monocular depth that runs anywhere: a small Keras network, distilled, exported and measured.

Importing this package is cheap: TensorFlow is loaded by the modules that need it.
"""

__version__ = "0.1.0"


def __getattr__(name: str):
    """Loads the few names of the package's front door when they are asked for."""
    from importlib import import_module

    homes = {
        "Augmentation": "augment",
        "Distiller": "distiller",
        "build_student": "student",
        "build_teacher": "teacher",
        "depth_metrics": "keras_metrics",
        "evaluate": "evaluation",
        "list_pretrained": "pretrained",
        "load_model": "model_file",
        "load_pretrained": "pretrained",
        "open_split": "dataset",
        "predict_pairs": "evaluation",
        "pretrained_path": "pretrained",
        "save_model": "model_file",
        "training_batches": "dataset",
        "training_view": "distiller",
    }
    if name not in homes:
        raise AttributeError(f"module 'mai_depth' has no attribute {name!r}")
    return getattr(import_module(f"mai_depth.{homes[name]}"), name)
