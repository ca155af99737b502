"""The parts of mai_depth.live, one by one."""

import asyncio
import errno
import http.server
import io
import json
import os
import sys
import threading
import time

import numpy as np
import pytest
from PIL import ExifTags
from PIL import Image

pytest.importorskip("cv2")

from mai_depth.colormap import colorize
from mai_depth.errors import UserError
from mai_depth.live.access import Access
from mai_depth.live.alert import Alert
from mai_depth.live.drawing import Painter
from mai_depth.live.drawing import color_table
from mai_depth.live.drawing import nearest_in_middle
from mai_depth.live.inference import DepthLoop
from mai_depth.live.measuring import Calibration
from mai_depth.live.rate import Rate
from mai_depth.live.reader import FrameReader
from mai_depth.live.sources import Source
from mai_depth.live.sources import find_source
from mai_depth.predict.camera_picture import from_array
from mai_depth.predict.prediction import _save_picture
from mai_depth.predict.scale import Scale


class Brightness:
    """A network that answers with the brightness of the picture as 1 to 3 metres."""

    input_size = (48, 64)

    def __call__(self, rgb):
        return 1 + rgb.mean(axis=-1).astype(np.float32) / 127.5


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_rate_by_hand():
    rate = Rate()
    assert rate.per_second(0.0) == 0
    for at in (0.0, 0.5, 1.0, 1.5):
        rate.tick(at)
    assert rate.per_second(1.6) == pytest.approx(2)
    assert rate.per_second(2.9) == pytest.approx(2)  # of 1.0 and 1.5
    assert rate.per_second(3.1) == 0  # 1.5 alone tells nothing
    assert rate.per_second(9.0) == 0


def test_the_nearest_in_the_middle_third_by_hand():
    depth = np.full((90, 120), 5.0)
    depth[:30], depth[40:50, 60:70] = 0.5, 2.0
    assert nearest_in_middle(depth) == pytest.approx(2.0)
    depth[40:50, 60:70] = 0
    assert nearest_in_middle(depth) == pytest.approx(5.0)  # missing is not near
    assert nearest_in_middle(np.zeros((9, 9))) is None
    stray = np.full((900, 1200), 5.0)
    stray[448, 600] = 0.1
    assert nearest_in_middle(stray) == pytest.approx(5.0)


def test_colors_are_those_of_every_other_picture():
    depth = np.random.default_rng(0).uniform(0.5, 6, (48, 64)).astype(np.float32)
    depth[:4] = 0
    drawn = Painter().color(depth, 1.0, 5.0)[..., ::-1].astype(int)
    expected = colorize(depth, 1.0, 5.0).astype(int)
    assert np.abs(drawn - expected).max() <= 6  # half a step of the table
    assert not drawn[:4].any()
    np.testing.assert_array_equal(color_table()[255], colorize(np.ones((1, 1)), 1.0, 5.0)[0, 0])


def test_points_that_are_clicked_become_a_camera_and_can_be_forgotten(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"network")
    calibration = Calibration(tmp_path / "a.tflite", (64, 48))
    assert calibration.camera is None
    picture = next(frames_of([9]))
    calibration.add(picture, 1.0, 2.0)
    calibration.add(picture, 1.0, 8.0)
    assert calibration.camera.scale == pytest.approx(4)
    told = calibration.told()
    assert told["points"] == 2 and told["disagreeing"] == 2
    assert told["file"]["network"] == "a.tflite" and told["file"]["kind"] == "mai_depth camera"
    calibration.reset()
    assert calibration.camera is None and calibration.told()["points"] == 0


def test_an_alert_runs_its_command_at_most_once_a_second(tmp_path):
    log = tmp_path / "log"
    command = f"sh -c 'echo $MAI_DEPTH_NEAREST_M >> {log}'"
    alert = Alert(0.5, command, pytest.fail)
    assert not alert.check(0.51) and not alert.check(None) and not log.exists()
    for _ in range(50):
        assert alert.check(0.42)
    wait_for(lambda: log.exists() and log.read_text())
    assert log.read_text() == "0.42\n"
    assert not Alert(None, None, pytest.fail).check(0.01)
    with pytest.raises(UserError, match="no such command"):
        Alert(0.5, "no-such-program --now", pytest.fail)
    with pytest.raises(UserError, match="check its quotes"):
        Alert(0.5, "sh 'a", pytest.fail)


def test_a_slow_command_is_not_started_twice(tmp_path):
    alert = Alert(0.5, "sleep 5", pytest.fail)
    alert.check(0.1)
    first, alert._last = alert._running, -9.0
    alert.check(0.1)
    assert alert._running is first
    first.kill()
    first.wait()


def frames_of(shades, size=(48, 64)):
    return (from_array(np.full((*size, 3), shade, np.uint8)) for shade in shades)


def test_the_reader_keeps_the_newest_and_its_pace():
    reader = FrameReader(
        Source("clip", lambda: (frames_of(range(10)), 0.02), ends=True), lambda line: None)
    reader.start()
    begin = time.monotonic()
    wait_for(lambda: (reader.newer_than(0, 0) or [0])[0] >= 8)
    assert time.monotonic() - begin > 0.12
    newest = reader.newer_than(0, 1)
    assert newest.number >= 8 and reader.newer_than(newest.number + 1000, 0) is None
    assert 20 < reader.rate.per_second() < 80
    reader.stop()


def test_of_a_slide_show_each_picture_is_shown_as_long_also_the_last_one():
    reader = FrameReader(
        Source("photos", lambda: (frames_of([1, 2, 3]), 0.1), ends=True, stills=True), print)
    reader.start()
    seen = []
    while len(seen) < 7:
        captured = reader.newer_than(seen[-1].number if seen else 0, 5)
        seen.append(captured)
    reader.stop()
    assert [frame.picture.rgb.getpixel((0, 0))[0] for frame in seen] == [1, 2, 3, 1, 2, 3, 1]
    gaps = np.diff([frame.at for frame in seen])
    assert gaps.min() > 0.05 and reader.status == ""


def test_a_clip_begins_again_and_says_so_once(monkeypatch):
    monkeypatch.setattr("mai_depth.live.reader._NOTICE_S", 0.05)
    said = []
    reader = FrameReader(
        Source("clip", lambda: (frames_of(range(6)), 0.02), ends=True), said.append)
    reader.start()
    wait_for(lambda: reader.status == "clip has ended and starts again.")
    wait_for(lambda: (reader.newer_than(0, 0) or [0])[0] > 15)
    reader.stop()
    assert said == ["clip: has ended and starts again, now and at every end"]


def test_a_camera_that_vanishes_is_tried_again_and_says_so_once(monkeypatch):
    monkeypatch.setattr("mai_depth.live.reader._RETRY_S", 0.05)
    said, tries = [], []

    def opened():
        tries.append(1)
        if len(tries) == 2:
            raise RuntimeError("a driver's own")
        if 2 < len(tries) < 5:
            raise UserError("--input=0: no such camera")
        return frames_of([9, 9]), None

    reader = FrameReader(Source("camera 0", opened, ends=False), said.append)
    reader.start()
    wait_for(lambda: reader.status == "No picture from camera 0; trying again.")
    wait_for(lambda: len(said) >= 2)
    reader.stop()
    assert said[:2] == ["camera 0: no picture; trying again every 0 s", "camera 0: is back"]


def test_what_gives_no_picture_is_refused_at_once(tmp_path):
    with pytest.raises(UserError, match="gives no picture"):
        FrameReader(Source("camera 0", lambda: (iter(()), None), ends=False), pytest.fail)
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(UserError, match="not a picture that can be read"):
        FrameReader(find_source(str(tmp_path), tmp_path), pytest.fail)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match="no pictures in this folder"):
        FrameReader(find_source(str(empty), empty), pytest.fail)


def test_a_bad_picture_in_a_folder_is_passed_over(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    Image.fromarray(np.full((48, 64, 3), 7, np.uint8)).save(tmp_path / "b.png")
    frames, seconds = find_source(str(tmp_path), tmp_path).open()
    assert [frame.rgb.getpixel((0, 0)) for frame in frames] == [(7, 7, 7)] and seconds == 2.0


def test_a_folder_knows_the_lens_and_leaves_earlier_answers_out(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 26
    Image.new("RGB", (4000, 3000)).save(tmp_path / "a.jpg", exif=exif)
    _save_picture(tmp_path / "a_color.png", np.zeros((48, 64, 3), np.uint8))
    [picture] = find_source(str(tmp_path), tmp_path).open()[0]
    assert picture.size == (4000, 3000) and picture.rgb.size == (2048, 1536)
    assert picture.focal_px == pytest.approx(26 / 43.267 * 5000, rel=1e-4)


def test_a_stream_is_read_and_its_password_not_shown(tmp_path):
    """Motion JPEG, as network cameras and phones send it."""
    jpeg = io.BytesIO()
    Image.new("RGB", (64, 48), (0, 200, 0)).save(jpeg, "JPEG")

    class Camera(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for _ in range(30):
                self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"
                                 + jpeg.getvalue() + b"\r\n")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://me:secret@127.0.0.1:{server.server_port}/video"
        source = find_source(address, tmp_path / address)
        frames, seconds = source.open()
        picture = next(frames)
        frames.close()
        server.shutdown()
    assert source.name == "127.0.0.1" and not source.ends and seconds is None
    assert picture.size == (64, 48)
    assert np.abs(np.array(picture.rgb.getpixel((9, 9))) - (0, 200, 0)).max() < 9
    with pytest.raises(UserError, match="no stream that OpenCV can read"):
        find_source(address, tmp_path / address).open()


def test_picamera2_gives_its_pictures_and_is_closed(monkeypatch, tmp_path):
    closed = []

    class Picamera2:
        def create_video_configuration(self, main):
            return main

        def configure(self, main):
            assert main == {"size": (640, 480), "format": "BGR888"}

        def start(self):
            pass

        def capture_array(self):
            if closed:
                raise RuntimeError("the cable was pulled")
            return np.full((480, 640, 3), 5, np.uint8)

        def close(self):
            closed.append(1)

    module = type(sys)("picamera2")
    module.Picamera2 = Picamera2
    monkeypatch.setitem(sys.modules, "picamera2", module)
    frames, seconds = find_source("picamera2", tmp_path / "picamera2").open()
    assert next(frames).size == (640, 480) and seconds is None
    closed.append("cable")
    assert next(frames, None) is None and closed == ["cable", 1]


def test_pictures_that_are_strangers_have_each_its_own_colours(tmp_path):
    """The second is four times as bright and so as far: neither steadied nor drawn in one range."""
    (tmp_path / "a.tflite").write_bytes(b"network")
    reader = FrameReader(
        Source("folder", lambda: (frames_of([51, 204] * 200), 0.01), ends=True, stills=True), print)
    published = []
    calibration = Calibration(tmp_path / "a.tflite", (64, 48))
    loop = DepthLoop(reader, Brightness(), Scale(), calibration, smooth=True,
                     alert=Alert(None, None, print), say=print, stills=True)
    loop.publish = published.append
    loop.start()
    try:
        wait_for(lambda: len(published) > 4)
    finally:
        loop.stop()
    for frame in published:
        assert frame.depth_at(0.5, 0.5) == pytest.approx(
            Brightness()(np.asarray(frame.captured.picture.rgb))[0, 0], rel=1e-3)
        near_m, far_m = frame_limits(frame)
        assert near_m <= frame.depth_at(0.5, 0.5) <= far_m


def test_a_picture_without_file_handles_is_left_out_and_the_loop_goes_on(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"a network")
    asked, said, published = [], [], []

    class OutOfHandles(Brightness):
        def __call__(self, rgb):
            asked.append(rgb)
            if len(asked) < 3:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "numpy/ma/extras.py")
            return super().__call__(rgb)

    reader = FrameReader(
        Source("clip", lambda: (frames_of([51] * 400), 0.01), ends=True), said.append)
    loop = DepthLoop(reader, OutOfHandles(), Scale(), Calibration(tmp_path / "a.tflite", (64, 48)),
                     smooth=True, alert=Alert(None, None, said.append), say=said.append)
    loop.publish = published.append
    loop.start()
    try:
        wait_for(lambda: published)
    finally:
        loop.stop()
    assert said[0] == "a picture is left out (Too many open files)"
    assert sum("left out" in line for line in said) == 1


def frame_limits(frame):
    size = int.from_bytes(frame.message[:4], "little")
    head = json.loads(frame.message[4 : 4 + size])
    return head["near_m"], head["far_m"]


@pytest.fixture
def loop(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"network")
    said = []
    reader = FrameReader(
        Source("clip", lambda: (frames_of([51] * 400), 0.01), ends=True), said.append)
    calibration = Calibration(tmp_path / "a.tflite", (64, 48))
    loop = DepthLoop(reader, Brightness(), Scale(), calibration, smooth=True,
                     alert=Alert(1.0, None, said.append), say=said.append)
    yield loop, calibration
    loop.stop()


def test_the_loop_publishes_depth_in_metres_and_draws_for_those_who_look_alone(loop):
    loop, calibration = loop
    published = []
    loop.publish = published.append
    loop.start()
    wait_for(lambda: len(published) > 2)
    frame = published[-1]
    assert frame.depth_at(0.5, 0.5) == pytest.approx(1.4) and frame.depth_at(1.0, 1.0) > 0
    assert "message" not in vars(frame)
    assert asyncio.run(frame.ready_message()) == frame.message
    loop.watched = True
    count = len(published)
    wait_for(lambda: len(published) > count + 2)
    assert "message" in vars(published[-1])
    calibration.add(frame.captured.picture, 1.4, 2.8)
    wait_for(lambda: loop.newest.scale == pytest.approx(2))
    assert loop.newest.depth_at(0.5, 0.5) == pytest.approx(2.8, rel=1e-3)
    numbers = [frame.number for frame in published]
    assert numbers == sorted(set(numbers))


def test_the_loop_ends_at_once(loop):
    loop, _ = loop
    loop.start()
    wait_for(lambda: loop.newest is not None)
    begin = time.monotonic()
    loop.stop()
    assert time.monotonic() - begin < 0.5
    wait_for(lambda: not {thread.name for thread in threading.enumerate()} & {"depth", "camera"})


def ask(access, kind="http", path="/", query=b"", **headers):
    """What an ASGI application behind `access` answers: status or close code, and its body."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": f"{kind}.connect"}

    scope = {"type": kind, "path": path, "query_string": query,
             "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    asyncio.run(access(scope, receive, send))
    return sent


async def inside(scope, receive, send):
    await send({"type": "inside"})


@pytest.mark.parametrize(("headers", "answered"), [
    ({"host": "127.0.0.1:8000"}, True), ({"host": "localhost:8000"}, True),
    ({"host": "[::1]:8000"}, True), ({"host": "evil.example:8000"}, False), ({}, False),
    ({"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"}, True),
    ({"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:9000"}, False),
    ({"host": "127.0.0.1:8000", "origin": "null"}, False),
    ({"host": "127.0.0.1:8000", "origin": "http://["}, False),
    ({"host": "127.0.0.1:8000", "origin": ""}, False),
])
def test_without_a_token_this_machine_alone(headers, answered):
    refused = []
    for kind in ("http", "websocket"):
        sent = ask(Access(inside, 8000, None, refused.append), kind, **headers)
        assert (sent == [{"type": "inside"}]) == answered
        if not answered:
            assert sent[0].get("status", sent[0].get("code")) in (403, 1008)
    assert len(refused) == (0 if answered else 2)


@pytest.mark.parametrize(("query", "cookie", "answered"), [
    (b"token=good-secret", "", True), (b"", "mai_depth_8000=good-secret", True),
    (b"", "other=1; mai_depth_8000=good-secret", True), (b"", "", False),
    (b"token=good-secre", "", False), (b"token=", "mai_depth_8000=good-secret", True),
    (b"", "mai_depth_8001=good-secret", False), (b"", 'mai_depth_8000="', False),
    (b"token=\xff", "", False), (b"&" * 999, "", False)])
def test_with_a_token_whoever_has_it(query, cookie, answered):
    access = Access(inside, 8000, "good-secret", lambda reason: None)
    sent = ask(access, path="/depth.png", query=query, host="192.168.1.7:8000", cookie=cookie)
    assert (sent == [{"type": "inside"}]) == answered
