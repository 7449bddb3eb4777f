"""Reports under /reports of the Prefect server, behind the server's own login: reports, comparisons and plots only."""

import base64
import hmac
import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

PREFIX = "/reports"
_SHOWN = re.compile(r"(report|comparison)\.(html|json)|plot-[a-z0-9-]+\.svg")
_HEADERS = {
    # No script runs in a report: it shares its origin with the UI, which keeps the password in the browser.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "X-Content-Type-Options": "nosniff",
}


def report_routes(runs: Path, auth: str) -> list[Route]:
    """GET and HEAD of /reports/<run-id>/<a file that is shown>; no listing, nothing else of the folder `runs`.

    Without `auth` (`user:password`) the answer is 401 with a challenge, upon which a browser asks for the password:
    a link that is followed, or a picture, does not carry the header that the UI sends with its own calls.
    """

    async def answer(request: Request) -> Response:
        if not _is_allowed(request, auth):
            challenge = {"WWW-Authenticate": 'Basic realm="genrec", charset="UTF-8"'}
            return PlainTextResponse("log in as in the Prefect UI", 401, {**_HEADERS, **challenge})
        file = _shown(runs, request.path_params["path"])
        return FileResponse(file, headers=_HEADERS) if file else PlainTextResponse("not found", 404, _HEADERS)

    return [Route(f"{PREFIX}{path}", answer) for path in ("/{path:path}", "{path:path}")]


def _is_allowed(request: Request, auth: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    try:
        decoded = base64.b64decode(given, validate=True)
    except ValueError:
        return False
    return scheme.lower() == "basic" and hmac.compare_digest(decoded, auth.encode())


def _shown(runs: Path, asked: str) -> Path | None:
    """The file that is asked for, where it may be shown; resolved, so that a link never leads out of the folder."""
    run, _, name = asked.partition("/")
    if not run or "\0" in run or not _SHOWN.fullmatch(name):
        return None
    root, file = runs.resolve(), (runs / asked).resolve()
    inside = file.is_relative_to(root) and len(file.relative_to(root).parts) == 2 and _SHOWN.fullmatch(file.name)
    return file if inside and file.is_file() else None
