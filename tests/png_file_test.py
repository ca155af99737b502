"""mai_depth.png_file: every reader gets what was written, and the mark is found."""

import numpy as np
import pytest
from PIL import Image

from mai_depth.depth import write_depth
from mai_depth.png_file import is_marked
from mai_depth.png_file import write_gray16


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 700), (33, 5), (480, 640)])
@pytest.mark.parametrize("rows", [1, 16, 500])
def test_pillow_reads_what_was_written(tmp_path, height, width, rows):
    values = np.random.default_rng(0).integers(0, 65536, (height, width)).astype(np.uint16)
    values[height // 2 :] = values[height // 2, 0]
    blocks = (values[top : top + rows] for top in range(0, height, rows))
    write_gray16(tmp_path / "a.png", (width, height), blocks)
    with Image.open(tmp_path / "a.png") as image:
        image.verify()  # the checksums of its chunks
    with Image.open(tmp_path / "a.png") as image:
        assert (image.mode, image.size) == ("I;16", (width, height))
        assert image.info == {"Software": "mai_depth"}
        np.testing.assert_array_equal(np.asarray(image), values)


def test_an_answer_is_known_by_its_mark(tmp_path):
    write_depth(tmp_path / "answer.png", np.ones((4, 4)))
    Image.new("L", (4, 4)).save(tmp_path / "photo.png")
    (tmp_path / "text.png").write_text("tEXtSoftware\0mai_depth")
    (tmp_path / "folder.png").mkdir()
    found = [name for name in ("answer", "photo", "text", "folder", "missing")
             if is_marked(tmp_path / f"{name}.png")]
    assert found == ["answer"]
