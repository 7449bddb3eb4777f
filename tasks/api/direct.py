"""Routes that are called without FastAPI's machinery for parameters, of which they have none.

Such a route stays in the schema as FastAPI has it; what answers is Starlette's route in front of it. That takes a third off
what the application itself costs a request.
"""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Match, Route
from starlette.types import Scope


class Direct(Route):
    """A route that is known to what stands around it as FastAPI's are: `scope["route"]`."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        return match, {**child_scope, "route": self}


def answer_directly(app: FastAPI, path: str) -> None:
    """Answer the route of a path, which takes the request alone and returns a response, directly."""
    [route] = [route for route in app.router.routes if isinstance(route, APIRoute) and route.path == path]
    app.router.routes.insert(
        0, Direct(path, route.endpoint, methods=sorted(route.methods or ()), include_in_schema=False)
    )
