"""The page at the endpoint's root, and the routes that it needs besides: titles, categories, histories, models, why."""

from __future__ import annotations

import asyncio
from collections import Counter
from importlib import resources
from typing import Annotated, Any

import numpy as np
import orjson
from fastapi import FastAPI, Query, Request, Response
from pydantic import Field

from genrec.serve.catalogue import Catalogue
from genrec.serve.once import OncePerItems
from genrec.serve.query import Query as Asked
from genrec.serve.titles import TitleIndex
from genrec.serve.why import explain, prefix_names
from tasks.api.bodies import Body, Id, Name, parsed, within
from tasks.api.errors import ApiError, request_id
from tasks.api.schema import documented
from tasks.api.service import Service

MAX_ITEMS = 200  # that an answer holds
MAX_WHYS = 16  # explanations that may wait for the thread that searches; lists come first
_TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# The page loads what this endpoint serves and nothing else, runs no script of a text, and is shown in no other page.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_TITLES = OncePerItems(lambda catalogue: TitleIndex(catalogue.item_ids, catalogue.titles, catalogue.popularity))
_CATEGORIES = OncePerItems(lambda catalogue: Counter(name for names in catalogue.categories for name in set(names)))


class WhyBody(Body):
    """A recommended item, and the history or the user it was recommended to."""

    item_id: Id
    history: list[str] | None = Field(None, description="Item ids, oldest first.")
    user_id: Id | None = Field(None, description="Whose history to take where none is given.")
    model: Name = Field("service", description="Which model, as GET /v1/models names it.")


class HistoryBody(Body):
    """A user; in a body, for addresses are what proxies log."""

    user_id: Id


def add_page(app: FastAPI, service: Service) -> None:
    """Add the page and its routes to the application."""
    _add_files(app)
    _add_texts(app, service)
    _add_why(app, service)


def _add_files(app: FastAPI) -> None:
    files = {
        file.name: Response(file.read_bytes(), headers=_HEADERS, media_type=_TYPES[f".{file.name.partition('.')[2]}"])
        for file in resources.files("genrec.serve").joinpath("page").iterdir()
        if f".{file.name.partition('.')[2]}" in _TYPES
    }

    @app.get("/", response_class=Response, include_in_schema=False)
    async def page() -> Response:
        return files["index.html"]

    @app.get("/static/{name}", response_class=Response, include_in_schema=False)
    async def static(name: str) -> Response:
        if name not in files:
            raise ApiError(404, "no_such_route", f"the page has no file {name[:64]!r}")
        return files[name]


def _add_texts(app: FastAPI, service: Service) -> None:
    @app.get("/v1/items", response_class=Response)
    async def items(
        request: Request,
        q: Annotated[
            str, Query(max_length=200, description="Words of a title, or their beginnings; or an item's id.")
        ] = "",
        item_id: Annotated[list[str], Query(max_length=MAX_ITEMS, description="Ids to look up instead.")] = [],  # noqa: B006
        limit: Annotated[int, Query(ge=1, le=MAX_ITEMS)] = 20,
    ) -> Response:
        """Items by their titles, best match first, then the popular ones; or by their ids, in the order given."""
        catalogue = service.live.snapshot.engine.catalogue
        if item_id:
            found = catalogue.numbers(item_id)
        else:
            found = await asyncio.to_thread(lambda: _TITLES.of(catalogue).search(q, limit))
        return _json(request, items=_described(catalogue, found))

    @app.get("/v1/categories", response_class=Response)
    async def categories(request: Request, limit: Annotated[int, Query(ge=1, le=10_000)] = 1000) -> Response:
        """Categories and how many items each has, the largest first."""
        catalogue = service.live.snapshot.engine.catalogue
        counts = await asyncio.to_thread(_CATEGORIES.of, catalogue)
        largest = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]
        return _json(request, categories=[{"name": name, "items": number} for name, number in largest])

    @app.post("/v1/history", **documented(HistoryBody))
    async def history(request: Request) -> Response:
        """What a user did, oldest first, as far as the model's data and the events tell; the last 200 items by title."""
        catalogue = service.live.snapshot.engine.catalogue
        history = await service.history_of(parsed(HistoryBody, await request.body()).user_id)
        return _json(request, history=history, items=_described(catalogue, catalogue.numbers(history)[-MAX_ITEMS:]))


def _add_why(app: FastAPI, service: Service) -> None:
    @app.get("/v1/models", response_class=Response)
    async def models(request: Request) -> Response:
        """The models that answer: the one in service, and the one beside it where there is one."""
        return _json(request, models=[{"model": name, **_model(live)} for name, live in service.models.items()])

    waiting = 0

    @app.post("/v1/why", **documented(WhyBody))
    async def why(request: Request) -> Response:
        """Parts of an item's score by name, the items of the history that it comes from, the path of its semantic id."""
        body = parsed(WhyBody, await request.body())
        if body.history is None and body.user_id is None:
            raise ApiError(422, "invalid", "history or user_id: one of them is needed; an empty history is []")
        within("history", len(body.history or ()), service.config.max_history, "max_history")
        history = body.history if body.history is not None else await service.history_of(str(body.user_id))
        engine = service.live_of(body.model).snapshot.engine
        if engine.catalogue.index(body.item_id) is None:
            raise ApiError(404, "unknown_item", f"item_id: no item {body.item_id!r} in the catalogue")
        nonlocal waiting
        if waiting >= MAX_WHYS:
            raise ApiError(503, "queue_full", f"{waiting} explanations are waiting already; try again later", 1)
        waiting += 1
        try:
            await asyncio.to_thread(prefix_names, engine.catalogue)  # the first time, it reads every title
            found = await service.beside_the_search(explain, engine, Asked(history), body.item_id)
        finally:
            waiting -= 1
        named = {name: [row._asdict() for row in getattr(found, name)] for name in ("parts", "path")}
        return _json(request, **(vars(found) | named))


def _model(live: Any) -> dict[str, Any]:
    engine = live.snapshot.engine
    return {"name": live.snapshot.loaded.where, "model_key": engine.model_key, "items": len(engine.catalogue)}


def _described(catalogue: Catalogue, numbers: np.ndarray) -> list[dict[str, Any]]:
    return [
        {
            "item_id": catalogue.item_ids[item],
            "title": catalogue.titles[item],
            "brand": catalogue.brands[item],
            "categories": catalogue.categories[item],
            "in_stock": bool(catalogue.in_stock[item]),
        }
        for item in numbers.tolist()
    ]


def _json(request: Request, **content: Any) -> Response:
    return Response(orjson.dumps(content | {"request_id": request_id(request)}), media_type="application/json")
