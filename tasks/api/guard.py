"""What stands before every route: the request's id, the token, the bound of its body, its line in the log, its metrics."""

from __future__ import annotations

import asyncio
import hmac
import logging
import random
import re
import time
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tasks.api.errors import ApiError
from tasks.api.logs import log
from tasks.api.metrics import Metrics

# What needs no token holds nothing of the shop: the page asks its reader for the token, a probe has none.
PUBLIC = frozenset({"/", "/health", "/docs", "/openapi.json", "/favicon.ico"})
PUBLIC_FOLDER = "/static/"
_CLIENT_LEFT = 499  # in log and metrics, as of nginx: there is nobody to answer
_BODY_S = 30.0  # for the body of a request to arrive
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Guard:
    """ASGI middleware around the routes.

    Args:
        app: what it wraps.
        token: that every request but those for `PUBLIC` pages has to bring.
        max_body_bytes: of a request.
        metrics: where requests are counted.
    """

    def __init__(self, app: ASGIApp, token: str, max_body_bytes: int, metrics: Metrics) -> None:
        self._app, self._metrics, self._max_body_bytes = app, metrics, max_body_bytes
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        # Told apart is all an id has to be: to ask the system for random bytes would let go of the interpreter's lock.
        request_id = given.decode() if _ID.fullmatch(given) else f"{random.getrandbits(64):016x}"
        scope["request_id"] = request_id
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            if problem := self._refusal(scope["path"], headers):
                self._metrics.errors.labels(problem.error).inc()
                await problem.response(request_id)(scope, receive, answer)
            else:
                await self._app(scope, self._bounded(receive), answer)
        except ClientDisconnect:
            status = _CLIENT_LEFT
        except Exception as error:
            self._metrics.errors.labels("internal").inc()
            log(logging.ERROR, "unexpected error", error, request_id=request_id, path=scope["path"])
            if not status:
                problem = ApiError(500, "internal", "an unexpected error; the log has it under this request id")
                await problem.response(request_id)(scope, receive, answer)
        finally:
            self._note(scope, status, time.perf_counter() - started)

    def _refusal(self, path: str, headers: dict[bytes, bytes]) -> ApiError | None:
        """Why a request is refused before anything of its body is read; None where it is not."""
        if path not in PUBLIC and not path.startswith(PUBLIC_FOLDER):
            given = headers.get(b"authorization")
            if given is None:
                return ApiError(401, "no_token", "send the header Authorization: Bearer TOKEN", close=True)
            scheme, _, token = given.partition(b" ")
            if scheme.lower() != b"bearer" or not hmac.compare_digest(token, self._token):  # its case does not count
                return ApiError(401, "wrong_token", "the token is not the one of this endpoint", close=True)
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._max_body_bytes:
            return self._too_large()
        return None

    def _too_large(self) -> ApiError:
        limit = self._max_body_bytes // 1024
        return ApiError(413, "too_large", f"the body has more than {limit} KiB (api.max_body_kb)", close=True)

    def _bounded(self, receive: Receive) -> Receive:
        """`receive`, which raises ApiError 413 as soon as more than the bound has come (a body without a length), and 408
        where the body does not end: such a client would hold its connection for ever.
        """
        got, is_whole = 0, False
        give_up = asyncio.get_running_loop().time() + _BODY_S

        async def bounded() -> Message:
            nonlocal got, is_whole
            try:
                async with asyncio.timeout_at(None if is_whole else give_up):
                    message = await receive()
            except TimeoutError:
                raise ApiError(408, "slow_body", f"the body did not end within {_BODY_S:g} s", close=True) from None
            if message["type"] == "http.request":
                is_whole = not message.get("more_body", False)
                got += len(message.get("body", b""))
                if got > self._max_body_bytes:
                    raise self._too_large()
            return message

        return bounded

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        """Count the request and write its line; a path that no route has is no label, there are endlessly many."""
        route: Any = scope.get("route")
        name = getattr(route, "path", None) or (scope["path"] if scope["path"] in PUBLIC else "other")
        self._metrics.requests.labels(name, str(status)).inc()
        self._metrics.latency.labels(name).observe(seconds)
        log(
            logging.INFO,
            "request",
            request_id=scope["request_id"],
            method=scope["method"],
            route=name,
            status=status,
            ms=round(seconds * 1000, 2),
            **scope.get("log_fields", {}),
        )
