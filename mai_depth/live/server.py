"""The page's server: fixed paths and a WebSocket; no requested path is ever opened as a file."""

import asyncio
import errno
import pathlib
import socket
import time
from collections.abc import Callable
from collections.abc import Mapping

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.responses import Response
from starlette.routing import Route
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from mai_depth.depth import depth_png
from mai_depth.errors import UserError
from mai_depth.live.access import Access
from mai_depth.live.site import KINDS
from mai_depth.live.site import page_files
from mai_depth.live.tls import Certificate
from mai_depth.live.watchers import Hub
from mai_depth.live.watchers import watch

_HEADERS = {
    "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; "
                               "worker-src 'self'; style-src 'self'; "
                               "img-src 'self' blob: data:; media-src blob:; connect-src 'self'; "
                               "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}
_KEPT = {**_HEADERS, "Cache-Control": "private, max-age=3600"}  # 10 MB that never change
_LONGEST_MESSAGE = 4096
_REFUSALS_S = 10.0  # a repeated refusal is reported once in this time, with a count


def listen(host: str, port: int) -> socket.socket:
    """Opens the listening socket.

    Args:
        host: An address of this machine.
        port: 0 picks a free one.

    Returns:
        The listening socket.

    Raises:
        UserError: The port is taken, or the address is not this machine's.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=256)
        # Connections inherit this. asyncio sets it only on sockets of protocol TCP, and this one's
        # is 0: every frame would wait 40 ms for the acknowledgement of the one before.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except PermissionError as error:
        raise UserError(f"--port={port}: needs root; give a port above 1023") from error
    except socket.gaierror as error:
        raise UserError(f"--host={host}: no such address; give 127.0.0.1 or 0.0.0.0") from error
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise UserError(f"--host={host}: not an address of this machine; give 127.0.0.1 or "
                            "0.0.0.0") from error
        raise UserError(f"--port={port}: in use by another program, perhaps by another "
                        "mai_depth.live; give another --port") from error


def serve(
    listening: socket.socket, hub: Hub, token: str | None, say: Callable[[str], None],
    started: Callable[[], None], extra: Mapping[str, bytes | pathlib.Path],
    certificate: Certificate | None = None,
) -> None:
    """Serves the page until Ctrl-C.

    Args:
        listening: The socket from `listen`.
        hub: Source of the frames.
        token: The secret that a visitor needs, or None.
        say: Called with a line about visitors who were refused.
        started: Called once the page can be opened.
        extra: What the page loads besides its own files, see `site`: path -> content or file.
        certificate: For https; None for http.
    """
    refusals = Refusals(say)
    application = Access(_application(hub, refusals, extra), listening.getsockname()[1], token,
                         refusals, secure=certificate is not None)
    cert, key = certificate or (None, None)
    config = uvicorn.Config(
        application, log_config=None, log_level="critical", access_log=False, lifespan="off",
        ws_max_size=_LONGEST_MESSAGE, ws_max_queue=8, ws_per_message_deflate=False,
        timeout_graceful_shutdown=0, server_header=False, timeout_keep_alive=5,
        ssl_certfile=cert, ssl_keyfile=key)
    asyncio.run(_serve(uvicorn.Server(config), listening, hub, started, refusals))


async def _serve(
    server: uvicorn.Server, listening: socket.socket, hub: Hub, started: Callable[[], None],
    refused: Callable[[str], None],
) -> None:
    def fault(loop: asyncio.AbstractEventLoop, context: dict) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            refused("more connections than this system allows a program")
        else:
            loop.default_exception_handler(context)

    asyncio.get_running_loop().set_exception_handler(fault)
    hub.connect()
    started()
    try:
        await server.serve(sockets=[listening])
    finally:
        hub.disconnect()


def _application(
    hub: Hub, refused: Callable[[str], None], extra: Mapping[str, bytes | pathlib.Path]
) -> Starlette:
    async def socket_of_page(socket: WebSocket) -> None:
        reason = await watch(socket, hub)
        if reason:
            refused(reason)

    async def depth(request: Request) -> Response:
        number = request.query_params.get("frame", "")
        frame = hub.frame(int(number)) if number.isdecimal() and len(number) < 16 else None
        if frame is None:
            return PlainTextResponse("no page shows this frame any more\n", 404, _HEADERS)
        content = await asyncio.to_thread(depth_png, frame.depth_m)
        return Response(content, 200, _HEADERS, "image/png")

    files = {**page_files(), **extra}
    routes = [Route(f"/{name}", _file(name, content)) for name, content in files.items()]
    return Starlette(routes=[Route("/", _file("index.html", files["index.html"])), *routes,
                             Route("/depth.png", depth), WebSocketRoute("/frames", socket_of_page)])


def _file(name: str, content: bytes | pathlib.Path) -> Callable:
    kind = KINDS[pathlib.PurePath(name).suffix]
    headers = _KEPT if name.startswith("litert/") else _HEADERS

    async def answer(request: Request) -> Response:
        if isinstance(content, bytes):
            return Response(content, 200, headers, kind)
        try:
            return Response(await asyncio.to_thread(content.read_bytes), 200, headers, kind)
        except OSError as error:
            return PlainTextResponse(f"{name}: {error.strerror}\n", 404, _HEADERS)

    return answer


class Refusals:
    """Reports why visitors were refused: for each reason at most one line in ten seconds.

    Args:
        say: Called with each line.
    """

    def __init__(self, say: Callable[[str], None]):
        self._say = say
        self._since: dict[str, tuple[float, int]] = {}

    def __call__(self, reason: str) -> None:
        """Reports a refusal, or counts it."""
        at, count = self._since.get(reason, (-_REFUSALS_S, 0))
        now = time.monotonic()
        if now - at < _REFUSALS_S:
            self._since[reason] = at, count + 1
            return
        more = f" ({count} more before)" if count else ""
        self._since[reason] = now, 0
        self._say(f"refused: {reason}{more}")
