from fastapi import FastAPI, Request, Response
from starlette.testclient import TestClient

from tasks.api.direct import answer_directly


def application():
    app = FastAPI()

    @app.middleware("http")
    async def note(request: Request, call_next):
        answer = await call_next(request)
        answer.headers["x-route"] = request.scope["route"].path
        return answer

    @app.post("/things", response_class=Response)
    async def things(request: Request) -> Response:
        """What there is."""
        return Response(b"got " + await request.body())

    return app


def test_a_direct_route_answers_refuses_and_is_documented_as_before():
    before, direct = application(), application()
    answer_directly(direct, "/things")
    kept = []
    for app in (before, direct):
        client = TestClient(app)
        posted, got = client.post("/things", content=b"it"), client.get("/things")
        kept.append((posted.text, posted.headers["x-route"], got.status_code, got.json(), app.openapi()))
    assert kept[0] == kept[1]
    assert kept[0][:3] == ("got it", "/things", 405)
