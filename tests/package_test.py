"""The front door: what `import mai_depth` offers."""

import numpy as np
import pytest

import mai_depth


def test_names_are_loaded_when_asked_for():
    assert mai_depth.build_student("student_28m").name == "student_28m"
    with pytest.raises(AttributeError, match="nonsense"):
        mai_depth.nonsense  # noqa: B018


def test_shipped_student_answers_in_metres():
    model = mai_depth.load_pretrained("nyuv2_student_90m")
    depth = model.predict(np.full((1, 480, 640, 3), 128, np.float32), verbose=0)
    assert depth.shape == (1, 480, 640, 1)
    assert 0.3 < depth.min() < depth.max() < 10
