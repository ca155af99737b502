"""python -m mai_depth.live as a process: frames, the tape measure, and whom it sends away."""

import concurrent.futures
import http.client
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv

import numpy as np
import pytest
from benchmark_graphs import assert_one_line
from live_process import REPOSITORY
from live_process import Page
from live_process import clip  # noqa: F401  a fixture
from live_process import live
from PIL import Image

from mai_depth.checksum import file_sha256
from mai_depth.network.pretrained import pretrained_path
from mai_depth.predict.camera_file import Camera
from mai_depth.predict.camera_file import write_camera

pytest.importorskip("websockets")
from websockets.exceptions import ConnectionClosed
from websockets.exceptions import InvalidStatus


@pytest.fixture(scope="module")
def server(clip):  # noqa: F811
    with live(f"--input={clip}", "--alert_below_m=0.01") as command:
        yield command


def get(url, path="", **headers):
    request = urllib.request.Request(url + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def run(*flags, cwd=REPOSITORY, code=None):
    start = ["-c", code] if code else ["-m", "mai_depth.live"]
    done = subprocess.run(
        [sys.executable, *start, *map(str, flags)], cwd=cwd, timeout=60, capture_output=True,
        text=True, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    return done.returncode, done.stderr.strip().splitlines()


def test_a_frame_is_two_pictures_and_what_is_said_of_them(server):
    page = Page(server.socket_url)
    head, photo, depth = page.frame()
    for jpeg in (photo, depth):
        assert Image.open(io.BytesIO(jpeg)).size == (640, 480)
    assert 0 < head["near_m"] < head["far_m"] < 12
    assert head["near_m"] * 0.9 < head["nearest_m"] < head["far_m"]
    assert head["ticks"][-1][0].endswith(" m") and not head["alert"]
    assert len(page.hello["colors"]) == 256 and page.hello["alert_below_m"] == 0.01
    assert page.calibration["points"] == 0


def test_the_next_frame_waits_for_the_acknowledgement_and_is_the_newest(server):
    page = Page(server.socket_url)
    first = page.frame()[0]["number"]
    with pytest.raises(TimeoutError):
        page.socket.recv(1.0)
    page.send(ack=first - 1)  # an old one does not free the way
    with pytest.raises(TimeoutError):
        page.socket.recv(0.3)
    page.send(ack=first)
    assert page.frame()[0]["number"] >= first + 8  # 1.3 s later: a queue would give the next


def test_a_point_has_the_depth_of_the_16_bit_picture(server):
    page = Page(server.socket_url)
    head = page.frame()[0]
    number = head["number"]
    page.send(ack=number, frozen=True, x=0.25, y=0.75, lag=True)
    assert 0 < page.text("lag")["ms"] < 5000
    said = page.text("distance")["distance_m"]
    status, content = get(server.url, f"depth.png?frame={number}")
    assert status == 200
    millimetres = np.asarray(Image.open(io.BytesIO(content)))
    assert millimetres.shape == (480, 640)
    assert said == pytest.approx(millimetres[360, 160] / 1000, abs=6e-4)


def test_a_calibration_makes_the_typed_distance_right_for_all(server):
    page, other = Page(server.socket_url), Page(server.socket_url)
    head, _, _ = page.frame()
    number = head["number"]
    page.send(ack=number, frozen=True, x=0.5, y=0.5)
    before = page.text("distance")["distance_m"]
    page.send(type="calibrate", x=0.5, y=0.5, distance_m=1.4 * before)
    told = page.text("calibration")
    assert told["points"] == 1 and told["file"]["scale"] == pytest.approx(1.4)
    assert told["text"] == "depth x 1.400 (1 point)"
    again, _, _ = page.frame()  # although frozen
    assert again["again"] and again["number"] == number
    assert again["far_m"] == pytest.approx(1.4 * head["far_m"])
    assert again["nearest_m"] == pytest.approx(1.4 * head["nearest_m"])
    assert page.text("distance")["distance_m"] == pytest.approx(1.4 * before)
    page.send(ack=number, frozen=True, x=0.5, y=0.5)
    assert page.text("distance")["distance_m"] == pytest.approx(1.4 * before)
    content = get(server.url, f"depth.png?frame={number}")[1]
    assert Image.open(io.BytesIO(content)).getpixel((320, 240)) == pytest.approx(
        1400 * before, abs=2)
    assert other.text("calibration") == told
    page.send(type="calibrate", x=0.5, y=0.5, distance_m=-1)
    assert "more than 0" in page.text("error")["text"]
    page.send(type="reset")
    assert page.text("calibration") == {"type": "calibration", "points": 0, "text": ""}


@pytest.mark.parametrize("garbage", [
    "", "{", "[]", "7", '{"ack": 1, "x": 7, "y": 0}', '{"type": "calibrate"}', b"\0\1\2",
    '{"type": "calibrate", "x": 0, "y": 0, "distance_m": 1' + "0" * 400 + "}",
    "[" * 4000, '{"type": "run"}', "x" * 100_000])
def test_garbage_on_the_socket_ends_that_connection_alone(server, garbage):
    page, other = Page(server.socket_url), Page(server.socket_url)
    number = page.frame()[0]["number"]
    page.send(ack=number)
    page.socket.send(garbage)
    with pytest.raises(ConnectionClosed):
        while True:
            page.socket.recv(5)
    assert other.frame()


@pytest.mark.parametrize("path", [
    "/..%2f..%2fetc/passwd", "/../../etc/passwd", "//etc/passwd", "/live.css/../../__init__.py",
    "/page/live.js", "/%2e%2e/__main__.py", "/depth.png?frame=../../x", "/depth.png?frame=-1",
    "/depth.png", "/depth.png?frame=" + "9" * 500, "/?token=\0"])
def test_no_path_reads_a_file(server, path):
    host = re.sub("http://|/$", "", server.url)
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.putrequest("GET", path.replace("\0", "%00"))
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status == (404 if "token" not in path else 200)
    assert b"root:" not in content and b"import" not in content


def test_another_site_is_refused(server):
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        with pytest.raises(InvalidStatus, match="403"):
            Page(server.socket_url, origin=origin)
    assert Page(server.socket_url, origin=server.url.rstrip("/")).frame()
    assert get(server.url)[0] == 200
    # A name of another site that it lets point to this machine.
    assert get(server.url, Host="evil.example:8000") == (
        403, b"wrong Host: open http://127.0.0.1 instead\n")
    assert get(server.url, Origin="http://evil.example")[0] == 403


def test_what_is_no_http_does_not_matter(server):
    address = re.sub("http://|/$", "", server.url).split(":")
    for content in (b"\0" * 5000, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000, b"\x16\x03\x01"):
        with socket.create_connection((address[0], int(address[1])), 5) as connection:
            connection.settimeout(2)
            try:
                connection.sendall(content)
                connection.recv(100)
            except OSError:
                pass
    assert Page(server.socket_url).frame()


def test_a_client_that_stops_reading_delays_nobody(server):
    stalled = Page(server.socket_url)  # never reads its first frame, never acknowledges
    page, numbers = Page(server.socket_url), []
    for _ in range(20):
        number = page.frame()[0]["number"]
        numbers.append(number)
        page.send(ack=number)
    assert numbers == sorted(set(numbers))
    stalled.socket.close()


def test_many_connections_in_a_row_leave_nothing_behind(server):
    pid = server.process.pid
    Page(server.socket_url).socket.close()
    before = len(os.listdir(f"/proc/{pid}/fd"))

    def visit(_):
        Page(server.socket_url).socket.close()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, range(200)))
    deadline = time.monotonic() + 10
    while len(os.listdir(f"/proc/{pid}/fd")) > before + 5:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert Page(server.socket_url).frame()


@pytest.mark.slow
def test_more_connections_than_there_are_files_are_one_line(clip):  # noqa: F811
    limited = ("import resource, runpy; resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128)); "
               "runpy.run_module('mai_depth.live', run_name='__main__')")
    with live(f"--input={clip}", start=("-c", limited)) as command:
        address = re.sub("http://|/$", "", command.url).split(":")
        idle = [socket.create_connection((address[0], int(address[1])), 5) for _ in range(200)]
        time.sleep(1)
        for connection in idle:
            connection.close()
        time.sleep(1.5)
        assert Page(command.socket_url).frame()
        _, said = command.stop()
    assert "refused: more connections than this system allows a program" in said
    assert not any("Traceback" in line for line in said) and len(said) <= 5


def test_a_token_is_asked_for_everything(clip):  # noqa: F811
    with live(f"--input={clip}", "--token=a-long-secret") as command:
        base = command.url.split("?")[0]
        assert command.url == f"{base}?token=a-long-secret"
        for path in ("", "live.js", "depth.png?frame=1", "?token=wrong", "?token=%ff"):
            assert get(base, path) == (
                403, b"wrong token: open the address that the command printed\n")
        with pytest.raises(InvalidStatus, match="403"):
            Page(base.replace("http", "ws") + "frames")
        assert Page(command.socket_url).frame()
        connection = http.client.HTTPConnection(re.sub("http://|/$", "", base), timeout=10)
        connection.request("GET", "/?token=a-long-secret")
        answer = connection.getresponse()
        cookie = answer.getheader("set-cookie")
        assert answer.status == 303 and "HttpOnly; SameSite=Strict" in cookie
        assert get(base, Cookie=cookie.split(";")[0])[0] == 200
        _, said = command.stop()
        assert "refused: wrong token: open the address that the command printed" in said
        assert "a-long-secret" not in "".join(said)


def test_ctrl_c_ends_it_soon_and_the_port_is_free_again(clip):  # noqa: F811
    with live(f"--input={clip}") as command:
        pages = [Page(command.socket_url) for _ in range(3)]
        assert all(page.frame() for page in pages)
        port = command.url.split(":")[2].strip("/")
        code, said = run(f"--input={clip}", f"--port={port}")
        assert code == 1 and said == [
            f"error: --port={port}: in use by another program, perhaps by another "
            "mai_depth.live; give another --port"]
        seconds, said = command.stop()
        assert said[-1] == "stopped" and command.process.returncode == 130
        assert seconds < 5  # 0.6 on a machine with little else to do
    with live(f"--input={clip}", f"--port={port}") as command:
        assert command.url.endswith(f":{port}/")


@pytest.mark.parametrize(("flags", "words"), [
    (["--input=none.mp4"], "--input=none.mp4: no such file or folder"),
    (["--input=README.md"], "README.md: not a picture that can be read"),
    (["--input=99999"], "no camera has such a number"),
    (["--input=picamera2"], "apt install python3-picamera2"),
    (["--host=0.0.0.0"], "anyone in the network could watch; give a secret as well"),
    (["--token=short"], "--token: too short"),
    (["--token=a secret with blanks"], "--token: is part of an address"),
    (["--alert_command=true"], "give --alert_below_m"),
    (["--alert_below_m=nan"], "alert_below_m"),
    (["--model=student.keras"], "give a .tflite file; python export.py makes one"),
    (["--camera=none.json"], "python -m mai_depth.calibrate makes one"),
    (["--port=70000"], "port"),
])
def test_what_a_user_can_mend_is_one_line(commands, clip, flags, words):  # noqa: F811
    if not flags[0].startswith("--input"):
        flags = [f"--input={clip}", *flags]
    assert_one_line(commands("-m", "mai_depth.live", *flags), words)


def test_without_its_packages_it_names_them(tmp_path):
    for name in ("starlette", "uvicorn"):
        code, said = run(code=(
            "import runpy, sys, importlib.util as u; find = u.find_spec; "
            f"u.find_spec = lambda name, *a: None if name == {name!r} else find(name, *a); "
            "sys.argv = ['live']; runpy.run_module('mai_depth.live', run_name='__main__')"))
        assert code == 1
        assert said == [f"error: mai_depth.live needs {name}; pip install {name}"]


@pytest.mark.slow
def test_no_tensorflow_is_loaded(clip):  # noqa: F811
    """As on a board, with the light install and the packages of the extra alone."""
    code, said = run(f"--input={clip}", "--port=0", code=(
        "import runpy, sys, threading, os, signal\n"
        "for name in ('tensorflow', 'keras', 'tf_keras', 'tqdm', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "threading.Timer(3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "runpy.run_module('mai_depth.live', run_name='__main__')"))
    assert code == 130 and said[-1] == "stopped", said


@pytest.mark.slow
def test_a_bare_environment_runs_it(tmp_path, clip):  # noqa: F811
    """requirements-board.txt and the packages of the extra alone."""
    venv.create(tmp_path / "bare", with_pip=True)
    python = tmp_path / "bare" / "bin" / "python"
    extra = ["opencv-python-headless", "starlette", "uvicorn", "websockets"]
    done = subprocess.run(
        [python, "-m", "pip", "install", "-q", "-r", "requirements-board.txt", *extra,
         "-c", ".ci/constraints.txt"], cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"the packages cannot be installed: {done.stderr[-300:]}")
    listed = subprocess.run([python, "-m", "pip", "list"], capture_output=True, text=True).stdout
    assert "tensorflow" not in listed and "keras" not in listed
    with live(f"--input={clip}", python=python) as command:
        assert Page(command.socket_url).frame()
        assert command.stop()[1][-1] == "stopped"


@pytest.mark.slow
def test_a_camera_that_vanishes_is_tried_again(tmp_path, clip):  # noqa: F811
    """A folder whose pictures vanish, as a device does."""
    folder = tmp_path / "camera"
    folder.mkdir()
    Image.fromarray(np.full((480, 640, 3), 90, np.uint8)).save(folder / "a.png")
    with live(f"--input={folder}") as command:
        page = Page(command.socket_url)
        page.frame()
        (folder / "a.png").rename(tmp_path / "a.png")
        while "trying again" not in page.text("status")["text"]:
            pass
        (tmp_path / "a.png").rename(folder / "a.png")
        while page.text("status")["text"] != "":
            pass
        _, said = command.stop()
    assert [line for line in said if "trying again" in line] == [
        "camera: no picture; trying again every 1 s"]
    assert "camera: is back" in said


def test_a_calibration_file_is_used_and_the_page_says_so(clip, tmp_path):  # noqa: F811
    digest = file_sha256(pretrained_path("indoor_student_90m_int8"))
    write_camera(tmp_path / "camera.json", Camera(1.5, 0.01, 4, "network", digest))
    with live(f"--input={clip}", f"--camera={tmp_path / 'camera.json'}") as command:
        page = Page(command.socket_url)
        assert page.calibration["text"] == (
            f"{tmp_path / 'camera.json'}: depth x 1.500 +- 1.0 % (4 points)")
        assert page.frame()
        _, said = command.stop()
    assert said[0] == (
        f"scale: depth x 1.500 +- 1.0 % (4 points) of {tmp_path / 'camera.json'}")


def test_frames_per_second_and_milliseconds_are_told(server):
    page = Page(server.socket_url)
    for _ in range(60):
        head = page.frame()[0]
        page.send(ack=head["number"])
    assert 20 < head["camera_fps"] < 40
    assert all(head[name] > 0 for name in ("camera_ms", "network_ms", "around_ms", "drawing_ms"))
    assert json.dumps(head)


def test_a_frame_does_not_wait_for_the_network_below(server):
    """Without TCP_NODELAY half of the frames came 40 ms late."""
    page, waits = Page(server.socket_url), []
    for _ in range(40):
        number = page.frame()[0]["number"]
        page.send(ack=number, lag=True)
        waits.append(page.text("lag")["ms"])
    assert np.percentile(waits, 20) < 30
