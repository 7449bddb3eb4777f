"""The ASGI application: routes, errors in one shape, the schema at /docs."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_swagger import patch_fastapi
from starlette.exceptions import HTTPException

from genrec.errors import DataError
from genrec.event_log import BadEvent, Event, EventConflict, EventLogError
from genrec.serve.query import Filter, Query
from tasks.api.bodies import CatalogueBody, EventsBody, RecommendBody, parsed, within
from tasks.api.direct import answer_directly
from tasks.api.errors import ApiError, request_id
from tasks.api.guard import Guard
from tasks.api.journal import Change
from tasks.api.metrics import CONTENT_TYPE
from tasks.api.page import add_page
from tasks.api.schema import documented, with_schemas
from tasks.api.service import Service

_JSON = "application/json"


def build_app(service: Service) -> FastAPI:
    """The application around a service, which runs as long as the application does (ASGI lifespan)."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(title="genrec", lifespan=lifespan, redoc_url=None, docs_url=None, swagger_ui_oauth2_redirect_url=None)
    app.state.service = service
    app.add_middleware(
        Guard, token=service.token, max_body_bytes=service.config.max_body_kb * 1024, metrics=service.metrics
    )
    _add_error_handlers(app, service)
    _add_routes(app, service)
    answer_directly(app, "/v1/recommend")
    # FastAPI's own page of the schema loads its script from another host, which a machine without a way out cannot.
    names = {"js": "swagger-ui-bundle.js", "css": "swagger-ui.css", "favicon": "favicon-32x32.png"}
    own = {f"swagger_{kind}_url": f"/static/swagger/{name}" for kind, name in names.items()}
    patch_fastapi(app, redirect_from_root_to_docs=False, **own)
    add_page(app, service)
    with_schemas(app)
    return app


def _add_routes(app: FastAPI, service: Service) -> None:
    @app.post("/v1/recommend", **documented(RecommendBody))
    async def recommend(request: Request) -> Response:
        """The best items for a history or a known user."""
        body = parsed(RecommendBody, await request.body())
        query = await _query(service, request, body)
        shown = await service.answer(query, body.model, body.user_id, request_id(request))
        answer = shown.answer
        if service.config.log_histories:
            request.scope["log_fields"] = {
                "history": query.history, "user_id": body.user_id, "shown": [item.item_id for item in answer.items]
            }  # fmt: skip
        return _json(
            {
                "items": answer.items,
                "unknown": answer.unknown,
                "source": answer.source,
                "model_key": answer.model_key,
                "request_id": request_id(request),
            }
            | ({"teams": shown.teams} if shown.teams is not None else {})
        )

    @app.post("/v1/events", **documented(EventsBody))
    async def events(request: Request) -> Response:
        """Clicks and purchases; durable when the answer comes, and part of the users' histories from then on."""
        body = parsed(EventsBody, await request.body())
        within("events", len(body.events), service.config.max_events, "max_events")
        receipts = await service.keep_events([Event(**event.model_dump()) for event in body.events])
        return _json({"events": receipts, "request_id": request_id(request)})

    @app.post("/v1/catalogue", **documented(CatalogueBody))
    async def catalogue(request: Request) -> Response:
        """Items go out of stock or come back, new ones come in; kept for good, effective at once."""
        body = parsed(CatalogueBody, await request.body())
        within("stock and items", len(body.stock) + len(body.items), service.config.max_events, "max_events")
        done = await service.change_catalogue(Change(body.stock, [item.model_dump() for item in body.items]))
        return _json({**done, "request_id": request_id(request)})

    @app.head("/health", include_in_schema=False)
    @app.get("/health", response_class=Response)
    async def health() -> Response:
        """Whether it is ready, and which model answers since when; needs no token."""
        live = service.live
        snapshot = live.snapshot
        return _json(
            {
                "ready": True,
                "model_key": snapshot.engine.model_key,
                "model": snapshot.loaded.where,
                "since_unix_s": snapshot.since_unix_s,
                "items": len(snapshot.engine.catalogue),
                "catalogue_change": snapshot.change,
                "problem": live.problem,
            }
        )

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(service.metrics.page(), media_type=CONTENT_TYPE)


async def _query(service: Service, request: Request, body: RecommendBody) -> Query:
    """What a body asks of the engine. Raises ApiError 422 for what is more than the settings allow."""
    config = service.config
    if body.history is None and body.user_id is None:
        raise ApiError(422, "invalid", "history or user_id: one of them is needed; an empty history is []")
    within("k", body.k, config.max_k, "max_k")
    num_items = len(service.live.snapshot.engine.catalogue)
    if body.k > num_items:
        raise ApiError(422, "invalid", f"k: {body.k} is more than the {num_items} items of the catalogue")
    within("history", len(body.history or ()), config.max_history, "max_history")
    within("exclude", len(body.exclude), num_items, "")
    allow = None
    if body.allow is not None:
        allow = Filter(body.allow.items, body.allow.categories)
    history = body.history
    if history is None:
        assert body.user_id is not None
        history = await service.history_of(body.user_id)
    return Query(history, body.k, frozenset(body.exclude), allow, body.keep_seen)


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content), media_type=_JSON)


def _add_error_handlers(app: FastAPI, service: Service) -> None:
    """Every refusal and failure has the one shape, and is counted."""

    async def refuse(request: Request, error: Exception) -> Response:
        refusal = _as_refusal(error)
        service.metrics.errors.labels(refusal.error).inc()
        return refusal.response(request_id(request))

    for kind in (ApiError, HTTPException, RequestValidationError, DataError, EventLogError):
        app.add_exception_handler(kind, refuse)


def _as_refusal(error: Exception) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, HTTPException):  # of the router: no such path, another method
        return ApiError(error.status_code, "no_such_route", f"{error.detail.lower()}; /docs lists what there is")
    if isinstance(error, RequestValidationError):  # of parameters in the address
        problems = (f"{'.'.join(map(str, p['loc'][1:]))}: {p['msg']}" for p in error.errors())
        return ApiError(422, "invalid", "; ".join(problems))
    if isinstance(error, EventConflict):
        return ApiError(409, "event_conflict", str(error))
    if isinstance(error, BadEvent | DataError):
        return ApiError(422, "invalid", str(error))
    return ApiError(503, "log_unavailable", str(error), 1)
