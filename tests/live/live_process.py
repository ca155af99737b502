"""A clip of a generated room, and `python -m mai_depth.live` on it."""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
NEEDED = ("cv2", "starlette", "uvicorn", "websockets")


def wide_room(seed=0):
    """One wide picture of a room: uint8 [480, 800, 3]."""
    from mai_depth.data.scenes import sensor
    from mai_depth.data.scenes.rooms import room
    from mai_depth.data.scenes.shading import render

    scene = room(np.random.default_rng(seed))
    camera = dataclasses.replace(scene.camera, size=(480, 800), fov=2 * math.atan(400 / 519))
    color, _, _ = render(dataclasses.replace(scene, camera=camera))
    return sensor.photograph(color, np.random.default_rng(1))


def write_clip(path, frames=60, seed=0):
    """A pan over a room, there and back, 640x480 at 30 frames a second."""
    import cv2

    wide = wide_room(seed)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (640, 480))
    for index in range(frames):
        left = round(80 - 80 * math.cos(2 * math.pi * index / frames))
        writer.write(np.ascontiguousarray(wide[:, left : left + 640, ::-1]))
    writer.release()
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    for name in NEEDED:
        pytest.importorskip(name)
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


class Live:
    """The command in a process: its address, and what it says on stderr."""

    def __init__(self, *flags, python=sys.executable, start=("-m", "mai_depth.live")):
        self.process = subprocess.Popen(
            [python, *start, "--port=0", *map(str, flags)], text=True, cwd=REPOSITORY,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
        line = self.process.stdout.readline()
        assert line.startswith("http"), self.process.stderr.read()
        self.url = line.split()[0]

    @property
    def socket_url(self):
        base, _, query = self.url.partition("?")
        return base.replace("http", "ws", 1) + "frames" + (f"?{query}" if query else "")

    def stop(self):
        """Ctrl-C; returns the seconds until the end, and what was said."""
        begin = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        said = self.process.communicate(timeout=20)[1]
        return time.monotonic() - begin, said.strip().splitlines()


@contextlib.contextmanager
def live(*flags, **options):
    command = Live(*flags, **options)
    try:
        yield command
    finally:
        command.process.kill()
        command.process.communicate()


class Page:
    """What the page does, without a browser."""

    def __init__(self, url, **options):
        from websockets.sync.client import connect

        self.socket = connect(url, compression=None, max_size=None, **options).__enter__()
        self.hello = json.loads(self.socket.recv(10))
        self.calibration = json.loads(self.socket.recv(10))

    def frame(self):
        """The next frame: its head, and its two JPEG files; texts before it are kept."""
        while True:
            message = self.socket.recv(20)
            if isinstance(message, bytes):
                length = struct.unpack("<I", message[:4])[0]
                head, rest = json.loads(message[4 : 4 + length]), message[4 + length :]
                return head, rest[: head["photo_bytes"]], rest[head["photo_bytes"] :]

    def text(self, kind):
        """The next text of a kind."""
        while True:
            message = self.socket.recv(10)
            if isinstance(message, str) and json.loads(message)["type"] == kind:
                return json.loads(message)

    def send(self, **message):
        self.socket.send(json.dumps(message))
