"""Access control: this machine only, or anyone with the token; never another site's page."""

import hmac
import http.cookies
import urllib.parse
from collections.abc import Callable
from typing import Any

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MIN_TOKEN = 8

_FORBIDDEN = 403
_POLICY_VIOLATION = 1008


class Access:
    """ASGI middleware that passes on only the requests that are allowed.

    An `Origin`, which browsers send, must be the page's own. Without a token, the `Host` must be a
    name of this machine, which stops other sites from pointing theirs here (DNS rebinding). With a
    token, `/?token=...` sets a cookie and redirects to `/`; all else needs the cookie or `?token=`.

    Args:
        app: The application to protect.
        port: The port that it is served on.
        token: The token, or None.
        refused: Called with the reason of each refusal.
        secure: Whether it is served over https; the cookie is then sent over https only.
    """

    def __init__(self, app: Any, port: int, token: str | None, refused: Callable[[str], None],
                 secure: bool = False):
        self._app, self._token, self._refused = app, token, refused
        self._scheme = "https" if secure else "http"
        self._marks = "Path=/; HttpOnly; SameSite=Strict" + "; Secure" * secure
        self._cookie = f"mai_depth_{port}"
        self._hosts = {name for host in ("127.0.0.1", "localhost", "[::1]")
                       for name in (f"{host}:{port}", host)}

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        """Passes a request on, or refuses it in one line."""
        if scope["type"] not in ("http", "websocket"):
            return
        headers = {key.decode("latin-1"): value.decode("latin-1")
                   for key, value in scope["headers"]}
        reason = self._reason(scope, headers)
        if reason:
            self._refused(reason)
            await _refuse(scope, receive, send, reason)
        elif self._token and scope["type"] == "http" and scope["path"] == "/" and "token" in (
                _query(scope)):
            value = urllib.parse.quote(self._token, safe="")
            await _redirect(send, f"{self._cookie}={value}; {self._marks}")
        else:
            await self._app(scope, receive, send)

    def _reason(self, scope: dict, headers: dict[str, str]) -> str:
        """Returns why a request is refused; empty if it is allowed."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return "wrong Origin: only the page itself may connect"
        if self._token is None:
            return "" if host in self._hosts else (
                f"wrong Host: open {self._scheme}://127.0.0.1 instead")
        given = _query(scope).get("token", [self._cookie_of(headers)])[0]
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return "wrong token: open the address that the command printed"
        return ""

    def _cookie_of(self, headers: dict[str, str]) -> str:
        try:
            morsel = http.cookies.SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except http.cookies.CookieError:
            return ""
        return urllib.parse.unquote(morsel.value) if morsel else ""


def _query(scope: dict) -> dict[str, list[str]]:
    try:
        return urllib.parse.parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=16)
    except ValueError:
        return {}


async def _refuse(scope: dict, receive: Any, send: Any, reason: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": reason})
        return
    await _answer(send, _FORBIDDEN, [(b"content-type", b"text/plain; charset=utf-8")],
                  f"{reason}\n".encode())


async def _redirect(send: Any, cookie: str) -> None:
    await _answer(send, 303, [(b"location", b"/"), (b"set-cookie", cookie.encode()),
                              (b"cache-control", b"no-store")], b"")


async def _answer(send: Any, status: int, headers: list, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status,
                "headers": [*headers, (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
