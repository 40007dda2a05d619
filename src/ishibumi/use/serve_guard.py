"""The guard in front of every request: who may ask, how much they may send, and what a browser may do with replies."""

import asyncio
import hmac
import ipaddress
from typing import Any

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ishibumi.errors import UsageError
from ishibumi.use.serve_engine import Limits

KEY_VARIABLE = "ISHIBUMI_API_KEY"
OPEN_PATHS = ("/", "/health")  # without a key; files of the page too: they hold nothing of the run
HEADERS = {
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    b"img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}


def check_address(host: str, key: str | None) -> None:
    """Raises UsageError for an address that others can reach, unless there is a key."""
    if is_loopback(host) or key:
        return
    raise UsageError(
        f"--host {host} can be reached from other machines, and whoever reaches it can read the documents of this run.",
        hint=f"Set an API key first: export {KEY_VARIABLE}=$(openssl rand -hex 24)   or leave --host out.",
        hint_ja=f"先に API キーを設定してください: export {KEY_VARIABLE}=$(openssl rand -hex 24)   "
        "または --host を付けずに実行してください。",
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:  # another name
        return False


class Guard:
    """ASGI middleware. Without a key it answers only to this machine's names, so that no web page can reach in."""

    def __init__(self, app: ASGIApp, *, key: str | None, limits: Limits) -> None:
        self._app, self._key, self._limits = app, key, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS.items()]
            await send(message)

        try:
            self._check_caller(scope)
            body = await self._body(scope, receive)
        except HTTPException as error:
            headers = {"connection": "close"}  # what may still come of the body is not read
            headers |= {"www-authenticate": "Bearer"} if error.status_code == 401 else {}
            await JSONResponse(error.detail, error.status_code, headers)(scope, receive, send_with_headers)
            return
        if body is None:  # the client is gone
            return
        replay: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Message:
            return replay.pop() if replay else await receive()

        await self._app(scope, receive_again, send_with_headers)

    def _check_caller(self, scope: Scope) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if self._key is None:
            host = headers.get(b"host", b"").decode("latin-1")
            if not is_loopback(host if host.endswith("]") else host.rpartition(":")[0] or host):
                raise _refused(403, f"This server answers to localhost only, not to {host!r}.", "wrong_host")
        elif scope["path"] not in OPEN_PATHS and not scope["path"].startswith("/page/"):
            given = headers.get(b"authorization", b"").removeprefix(b"Bearer ")
            if not hmac.compare_digest(given, self._key.encode()):
                raise _refused(401, "This server needs its API key: Authorization: Bearer …", "invalid_api_key")

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None if the client left. Raises HTTPException where it is too long or too slow."""
        limit = self._limits.body_bytes
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if told.isdigit() and int(told) > limit:
            raise _too_long(limit)
        body = b""
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    if len(body) > limit:
                        raise _too_long(limit)
                    if not message.get("more_body"):
                        return body
        except TimeoutError:
            seconds = self._limits.body_seconds
            raise _refused(408, f"The request did not arrive within {seconds:g} s.", "slow_body") from None


def _too_long(limit: int) -> HTTPException:
    return _refused(413, f"The request is longer than {limit:,} bytes.", "body_too_long")


def problem(
    message: str, *, code: str, param: str | None = None, kind: str = "invalid_request_error"
) -> dict[str, Any]:
    """An error as OpenAI's clients read it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _refused(status: int, message: str, code: str) -> HTTPException:
    return HTTPException(status, problem(message, code=code))
