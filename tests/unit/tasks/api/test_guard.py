"""Limits before anything is read, unexpected errors, and what the log holds."""

import asyncio
import io
import json
import logging
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.api.app import build_app
from tasks.api.logs import JsonLines, Together
from tests.support.api_tiny import TOKEN, api_client, api_service

HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with api_client(api_service(tmp_path_factory.mktemp("api"), max_body_kb=64)) as client:
        yield client


def test_a_body_of_50_mb_is_refused_without_being_read(tmp_path):
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(50):
            read += 1
            yield b" " * 1024 * 1024

    async def ask(length: dict[str, str]) -> httpx.Response:
        service = api_service(tmp_path, max_body_kb=1024)
        async with service.running():
            transport = httpx.ASGITransport(build_app(service))
            async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=HEADERS) as client:
                return await client.post("/v1/recommend", content=body(), headers=length)

    declared = asyncio.run(ask({"Content-Length": str(50 * 1024 * 1024)}))
    assert (declared.status_code, declared.json()["error"], read) == (413, "too_large", 0)
    chunked = asyncio.run(ask({}))
    assert (chunked.status_code, chunked.json()["error"]) == (413, "too_large")
    assert read <= 2
    assert chunked.headers["connection"] == "close"


def test_an_unexpected_error_is_a_500_in_the_same_shape_and_its_text_stays_in_the_log(tmp_path, monkeypatch, caplog):
    service = api_service(tmp_path)
    with api_client(service) as client:

        def broken(queries):
            raise RuntimeError("an inner secret of the machine")

        monkeypatch.setattr(service.live.snapshot.engine, "answer", broken)
        with caplog.at_level(logging.ERROR, "genrec.api"):
            answer = client.post("/v1/recommend", json={"history": ["i1"]})
        assert (answer.status_code, answer.json()["error"]) == (500, "internal")
        assert "inner secret" not in answer.text
        record = next(r for r in caplog.records if r.exc_info)
        assert record.fields["request_id"] == answer.json()["request_id"]


def test_a_client_that_leaves_while_it_sends_is_no_error(tmp_path, caplog):
    sent = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    async def leave() -> None:
        service = api_service(tmp_path)
        async with service.running():
            headers = [(b"authorization", HEADERS["Authorization"].encode())]
            scope = {"type": "http", "method": "POST", "path": "/v1/recommend", "headers": headers, "query_string": b""}
            await build_app(service)(scope, receive, send)

    with caplog.at_level(logging.INFO, "genrec.api"):
        asyncio.run(leave())
    assert sent == []
    (line,) = [json.loads(line) for line in logged(caplog).splitlines() if '"request"' in line]
    assert line["status"] == 499
    assert "error" not in {record.levelname.lower() for record in caplog.records}


def logged(caplog) -> str:
    return "\n".join(JsonLines().format(record) for record in caplog.records)


@pytest.mark.parametrize("asked_for", [False, True])
def test_the_log_has_histories_only_where_asked_for_and_a_token_never(tmp_path, caplog, asked_for):
    body = {"history": ["i1", "a-private-item"], "user_id": "a-private-user"}
    service = api_service(tmp_path, log_histories=asked_for)
    with api_client(service) as client, caplog.at_level(logging.INFO, "genrec.api"):
        answer = client.post("/v1/recommend", json=body)
        client.post("/v1/recommend", json=body, headers={"Authorization": "Bearer a-wrong-token"})
        client.post("/v1/events", json={"events": [{"user_id": "a-private-user", "item_id": "i2", "event": "no!"}]})
    text = logged(caplog)
    assert ("a-private-item" in text, "a-private-user" in text) == (asked_for, asked_for)
    assert TOKEN not in text
    assert "a-wrong-token" not in text
    lines = [json.loads(line) for line in text.splitlines()]
    (line,) = [line for line in lines if line.get("request_id") == answer.json()["request_id"]]
    assert (line["route"], line["status"], line["method"]) == ("/v1/recommend", 200, "POST")
    assert line["ms"] > 0


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["i1", "u", "click"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = {
    "/v1/recommend": ["history", "user_id", "k", "exclude", "allow", "keep_seen"],
    "/v1/events": ["events", "user_id", "item_id", "event", "timestamp", "event_id"],
    "/v1/catalogue": ["stock", "items", "item_id", "title", "categories"],
}


@st.composite
def requests(draw):
    path = draw(st.sampled_from([*FIELDS]))
    names = st.sampled_from(FIELDS[path])
    body = st.dictionaries(names, values | st.lists(st.dictionaries(names, values, max_size=5), max_size=3), max_size=6)
    return path, draw(body | values)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(request=requests())
def test_no_json_whatever_gets_a_5xx(client, request):
    path, body = request
    answer = client.post(path, content=json.dumps(body).encode("utf-8", "surrogatepass"))
    assert answer.status_code < 500, answer.text
    assert "request_id" in answer.json()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(path=st.sampled_from([*FIELDS]), body=st.binary(max_size=60))
def test_no_bytes_whatever_get_a_5xx(client, path, body):
    assert 400 <= client.post(path, content=body).status_code < 500


def test_a_body_that_never_ends_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.api.guard._BODY_S", 0.05)

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async def ask() -> httpx.Response:
        service = api_service(tmp_path)
        async with service.running():
            transport = httpx.ASGITransport(build_app(service))
            async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=HEADERS) as client:
                return await client.post("/v1/recommend", content=body())

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.json()["error"]) == (408, "slow_body")
    assert answer.headers["connection"] == "close"


def _logger(stream: io.StringIO, wait_s: float) -> logging.Logger:
    logger = logging.Logger("lines")
    handler = Together(stream, wait_s)
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    return logger


def _messages(stream: io.StringIO) -> list[str]:
    return [json.loads(line)["message"] for line in stream.getvalue().splitlines()]


def test_lines_of_the_log_are_written_in_time_and_a_problem_at_once_with_what_came_before():
    stream = io.StringIO()
    logger = _logger(stream, wait_s=3600)
    logger.info("one")
    logger.info("two")
    assert _messages(stream) == []
    logger.warning("a problem")
    assert _messages(stream) == ["one", "two", "a problem"]

    stream = io.StringIO()
    logger = _logger(stream, wait_s=0.01)
    for number in range(3):
        logger.info("line %d", number)
        patience = time.monotonic() + 30
        while len(_messages(stream)) <= number and time.monotonic() < patience:
            time.sleep(0.005)
    assert _messages(stream) == ["line 0", "line 1", "line 2"]


def test_what_cannot_be_logged_fails_no_request(capsys):
    stream = io.StringIO()
    logger = _logger(stream, wait_s=3600)
    logger.info("%d", "no number")
    logger.warning("after it")
    assert _messages(stream) == ["after it"]
    assert "no number" in capsys.readouterr().err


class _Full(io.StringIO):
    """A stream on a full disk, until there is room."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_a_log_that_cannot_be_written_fails_no_request_and_goes_on_when_it_can(capsys):
    stream = _Full()
    logger = _logger(stream, wait_s=0.01)
    logger.info("lost")
    logger.error("lost as well")
    assert "No space left" in capsys.readouterr().err
    stream.full = False
    patience = time.monotonic() + 30
    while not stream.getvalue() and time.monotonic() < patience:
        logger.info("later")
        time.sleep(0.02)
    assert "later" in _messages(stream)
