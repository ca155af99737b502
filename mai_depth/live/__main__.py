"""Shows a camera's depth on a web page, with a tape measure. Needs no TensorFlow.

    python -m mai_depth.live --input=0
    python -m mai_depth.live --input=picamera2 --model=student.tflite --alert_below_m=0.5
    python -m mai_depth.live --input=clip.mp4 --host=0.0.0.0 --token=a-long-secret
    python -m mai_depth.live --export=site --litert_js=npm_folder   # the network in the browser

Open the address that it prints; Ctrl-C ends it. --export writes a static site and exits.
"""

import importlib.util
import os
import pathlib
import secrets
import socket
import sys
from typing import Any

from absl import flags

from mai_depth import command
from mai_depth import number_flags
from mai_depth.errors import UserError
from mai_depth.live.access import LOOPBACK
from mai_depth.live.access import MIN_TOKEN
from mai_depth.live.litert_js import INSTALL
from mai_depth.live.litert_js import LiteRtJs
from mai_depth.live.site import export_site
from mai_depth.live.site import files_to_run_here
from mai_depth.live.site import page_json
from mai_depth.live.sources import find_source
from mai_depth.live.tls import read_certificate
from mai_depth.network.pretrained import default_pretrained
from mai_depth.network.pretrained import named_file
from mai_depth.network.pretrained import pretrained_path
from mai_depth.paths import expand
from mai_depth.paths import flag_path
from mai_depth.predict.depth_network import check_graph
from mai_depth.predict.scale import open_scale
from mai_depth.streams import printable
from mai_depth.tflite.graph import MAX_THREADS
from mai_depth.tflite.runner import TfliteNetwork

_INPUT = flags.DEFINE_string(
    "input", "0", "A camera number, picamera2, the address of its stream (rtsp://...), a "
    "video file, or a folder of pictures.")
_MODEL = flags.DEFINE_string(
    "model", None, "A .tflite file from export.py, or the name of a shipped network, of which the "
    "integers are run. Default: indoor_student_90m.")
_PORT = number_flags.define_integer(
    "port", 8000, "Serve the page on this port; 0 picks a free one.", 0, 65535)
_HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "Listen on this address; 0.0.0.0 lets other machines connect and needs a "
    "--token.")
_TOKEN = flags.DEFINE_string(
    "token", None, f"Ask visitors for this secret of at least {MIN_TOKEN} characters; the printed "
    "address contains it.")
_CAMERA = flags.DEFINE_string(
    "camera", None, "Scale depth by this calibration, written by mai_depth.calibrate or the page.")
_FOCAL_LENGTH_PX = number_flags.define_float(
    "focal_length_px", None, "Focal length of the camera in pixels of its pictures: scales depth, "
    "unless --camera does.", 1.0, 1e6)
_FIELD_OF_VIEW_DEG = number_flags.define_float(
    "field_of_view_deg", None, "The same, as the angle that the camera sees along the longer side.",
    1.0, 170.0)
_SMOOTH = flags.DEFINE_bool("smooth", True, "Remove the flicker from depth where nothing moves.")
_ALERT_BELOW_M = number_flags.define_float(
    "alert_below_m", None, "Raise an alert on the page when something in the middle third of the "
    "picture is nearer than this.", 0.01, 100.0)
_ALERT_COMMAND = flags.DEFINE_string(
    "alert_command", None, "Run this command on an alert, at most once a second, with the distance "
    "in the environment variable MAI_DEPTH_NEAREST_M.")
_NUM_THREADS = number_flags.define_integer(
    "num_threads", min(os.cpu_count() or 1, MAX_THREADS), "Threads for one picture.", 1,
    MAX_THREADS)
_LITERT_JS = flags.DEFINE_string(
    "litert_js", None, "Let visitors run the network in their browser, with the LiteRT.js of this "
    f"folder, where `{INSTALL}` was run.")
_EXPORT = flags.DEFINE_string(
    "export", None, "Write the page as a static site into this folder and exit; needs --litert_js.")
_TLS_CERT = flags.DEFINE_string("tls_cert", None, "Serve https with this PEM certificate.")
_TLS_KEY = flags.DEFINE_string("tls_key", None, "The certificate's private key, PEM.")

# The flags that --export uses; the others are for the server and its camera.
_OF_EXPORT = {"export", "litert_js", "model", "alert_below_m"}
_PACKAGES = {"cv2": "opencv-python-headless", "starlette": "starlette", "uvicorn": "uvicorn",
             "websockets": "websockets"}


def main() -> None:
    """Checks the flags, opens the camera and the network, takes the port, and serves."""
    if _EXPORT.value:
        _export()
        return
    _check_packages()
    token = _token()
    certificate = read_certificate(flag_path(_TLS_CERT), flag_path(_TLS_KEY))
    litert = _litert_js()
    source = find_source(_INPUT.value, expand(_INPUT.value, "input"))
    if _ALERT_COMMAND.value and _ALERT_BELOW_M.value is None:
        raise UserError("--alert_command: give --alert_below_m, the distance below which it runs")
    from mai_depth.live.alert import Alert
    from mai_depth.live.inference import DepthLoop
    from mai_depth.live.measuring import Calibration
    from mai_depth.live.reader import FrameReader
    from mai_depth.live.server import listen
    from mai_depth.live.server import serve
    from mai_depth.live.watchers import Hub

    alert = Alert(_ALERT_BELOW_M.value, _ALERT_COMMAND.value, _say)
    model = _model()
    extra = _extra(model, litert)
    scale, warning = open_scale(
        model, flag_path(_CAMERA), _FOCAL_LENGTH_PX.value, _FIELD_OF_VIEW_DEG.value)
    if warning:
        _say(f"warning: {warning}")
    with listen(_HOST.value, _PORT.value) as listening:
        reader = FrameReader(source, _say)
        network = TfliteNetwork(model, _NUM_THREADS.value)
        calibration = Calibration(
            model, network.input_size[::-1],
            f"{scale.camera_name}: {scale.camera}" if scale.camera else "")
        loop = DepthLoop(reader, network, scale, calibration,
                         smooth=_SMOOTH.value, alert=alert, say=_say, stills=source.stills)
        loop.start()
        try:
            hub = Hub(loop, calibration, _ALERT_BELOW_M.value)
            serve(listening, hub, token, _say,
                  lambda: _announce(listening, token, "https" if certificate else "http"),
                  extra, certificate)
        finally:
            loop.stop()


def _export() -> None:
    """Refuses flags that have no effect, then writes the static site."""
    for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0]):
        if flag.present and flag.name not in _OF_EXPORT:
            raise UserError(f"--{flag.name}: has no effect on an exported page; leave it out with "
                            "--export")
    litert = _litert_js()
    if litert is None:
        raise UserError(f"--export: run {INSTALL} in a folder and give that folder as --litert_js")
    model, folder = _model(), expand(_EXPORT.value, "export")
    size = export_site(folder, model, litert, _here(model))
    print(f"{folder}: {size / 1e6:.1f} MB, with {model.name} and LiteRT.js {litert.version}; any "
          f"web server serves it, here: python -m http.server --directory {folder}")


def _extra(model: pathlib.Path, litert: LiteRtJs | None) -> dict[str, bytes | pathlib.Path]:
    if litert is None:
        return {"page.json": page_json(None, server=True)}
    return {"page.json": page_json(_here(model), server=True), **files_to_run_here(model, litert)}


def _here(model: pathlib.Path) -> dict[str, Any]:
    from mai_depth.live.browser_model import describe

    return describe(model, _ALERT_BELOW_M.value)


def _litert_js() -> LiteRtJs | None:
    folder = flag_path(_LITERT_JS)
    return LiteRtJs(folder) if folder else None


def _check_packages() -> None:
    missing = [package for module, package in _PACKAGES.items()
               if importlib.util.find_spec(module) is None]
    if missing:  # not the extra `live`: on a board it would install TensorFlow as well
        raise UserError(f"mai_depth.live needs {', '.join(missing)}; pip install "
                        f"{' '.join(missing)}")


def _token() -> str | None:
    if not _TOKEN.value:
        if _HOST.value not in LOOPBACK:
            raise UserError(f"--host={_HOST.value}: anyone in the network could watch; give a "
                            f"secret as well, for instance --token={secrets.token_urlsafe(9)}")
        return None
    if len(_TOKEN.value) < MIN_TOKEN:
        raise UserError("--token: too short, it could be guessed; give at least "
                        f"{MIN_TOKEN} characters, for instance {secrets.token_urlsafe(9)}")
    if not (_TOKEN.value.isascii() and _TOKEN.value.replace("-", "").replace("_", "").isalnum()):
        raise UserError("--token: is part of an address; use only letters, digits, - and _")
    return _TOKEN.value


def _model() -> pathlib.Path:
    if _MODEL.value is None:
        return pretrained_path(default_pretrained(".tflite"))
    shipped = named_file(_MODEL.value, ".tflite")
    path = shipped or expand(_MODEL.value, "model")
    if path.suffix != ".tflite":
        raise UserError(f"--model={path}: give a .tflite file; python export.py makes one from a "
                        ".keras file")
    if shipped is None:
        check_graph(path, _say)
    return path


def _announce(listening: socket.socket, token: str | None, scheme: str) -> None:
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    shown = f"[{host}]" if ":" in host else host
    print(f"{scheme}://{shown}:{port}/{f'?token={token}' if token else ''}  (Ctrl-C ends it)",
          flush=True)


def _say(message: str) -> None:
    print(printable(message), file=sys.stderr)


if __name__ == "__main__":
    command.run(main)
