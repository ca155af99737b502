"""mai_depth.predict.video: colours that follow the scene slowly, and the .mp4."""

import resource
import sys

import numpy as np
import pytest

from mai_depth.errors import UserError
from mai_depth.predict import video
from mai_depth.predict.prediction import Style
from mai_depth.video_frames import read_frames


class Ramp:
    """A network that answers with the brightness of the picture as 1 to 3 metres."""

    input_size = (48, 64)

    def __call__(self, rgb):
        return 1 + rgb.mean(axis=-1).astype(np.float32) / 127.5


def frames(count, width=160, height=121):
    columns = np.linspace(0, 200, width, dtype=np.uint8)
    for index in range(count):
        yield np.repeat(np.tile(columns + index, (height, 1))[..., None], 3, axis=2)


def write(path, pictures, **options):
    settings = {"fit": "pad", "style": Style(), "beside": False, **options}
    return video.write_video(path, pictures, 25.0, Ramp(), **settings)


def test_range_follows_a_change_slowly():
    steady = video.SteadyRange(memory_frames=20)
    first = steady.update(np.linspace(1, 2, 101))
    assert first == pytest.approx((1.02, 1.98))
    assert steady.update(np.linspace(1, 2, 101)) == pytest.approx(first)
    for _ in range(20):
        near, far = steady.update(np.linspace(3, 4, 101))
    share = 1 - 0.95**20
    assert (near, far) == pytest.approx((1.02 + 2 * share, 1.98 + 2 * share))


def test_without_opencv_the_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match=r"pip install opencv-python-headless$"):
        read_frames("clip.mp4")
    with pytest.raises(UserError, match=r"pip install opencv-python-headless$"):
        write(tmp_path / "x.mp4", frames(1))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("beside", [False, True])
def test_what_is_written_can_be_read(tmp_path, beside):
    pytest.importorskip("cv2")
    assert write(tmp_path / "x.mp4", frames(12), beside=beside) == 12
    read, rate, count = read_frames(str(tmp_path / "x.mp4"))
    read = list(read)
    assert (len(read), rate, count) == (12, 25.0, 12)
    height, width, _ = read[0].shape
    # Drawn at 320 pixels or more, with even sides and the legend.
    assert height == 242
    assert width > (640 if beside else 320)
    red_of = [frame[100, 5 + (320 if beside else 0)].astype(int) for frame in read]
    assert all(color[0] > color[2] for color in red_of)  # the dark left side is near


def test_ctrl_c_completes_a_camera_and_removes_a_file(tmp_path):
    pytest.importorskip("cv2")

    def interrupted():
        yield from frames(3)
        raise KeyboardInterrupt

    assert write(tmp_path / "x.mp4", interrupted(), ends_with_interrupt=True) == 3
    assert len(list(read_frames(str(tmp_path / "x.mp4"))[0])) == 3
    (tmp_path / "x.mp4").unlink()
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "x.mp4", interrupted())
    assert not list(tmp_path.iterdir())


def test_what_is_no_video_is_named(tmp_path):
    pytest.importorskip("cv2")
    (tmp_path / "x.mp4").write_text("no video")
    with pytest.raises(UserError, match="not a video that OpenCV can read"):
        read_frames(str(tmp_path / "x.mp4"))
    with pytest.raises(UserError, match="no such camera"):
        read_frames(99)
    with pytest.raises(UserError, match="no frame"):
        write(tmp_path / "y.mp4", iter(()))
    assert not (tmp_path / "y.mp4").exists()


def test_a_video_that_was_cut_short_is_not_kept(tmp_path):
    """OpenCV says nothing of a full disk."""
    pytest.importorskip("cv2")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write(tmp_path / "x.mp4", frames(12))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())
