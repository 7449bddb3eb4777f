"""Refusals and failures of the endpoint, in one JSON shape: {"error": code, "detail": text, "request_id": id}."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response


class ApiError(Exception):
    """A request that cannot be answered as asked.

    Args:
        status: of HTTP.
        error: short code for programs, such as queue_full.
        detail: for people: what is wrong and what to do.
        retry_after_s: after how many seconds the same request may succeed; None: it will not.
        close: whether the connection is closed, because part of the request is not read.
    """

    def __init__(
        self, status: int, error: str, detail: str, retry_after_s: int | None = None, close: bool = False
    ) -> None:
        super().__init__(detail)
        self.status, self.error, self.detail, self.retry_after_s, self.close = (
            status,
            error,
            detail,
            retry_after_s,
            close,
        )

    def response(self, request_id: str) -> Response:
        """The answer that the client gets."""
        headers = {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if self.close:
            headers["Connection"] = "close"
        body = {"error": self.error, "detail": self.detail, "request_id": request_id}
        return Response(orjson.dumps(body), self.status, headers, "application/json")


def request_id(request: Request) -> str:
    """The id that the guard gave the request."""
    return request.scope.get("request_id", "")
