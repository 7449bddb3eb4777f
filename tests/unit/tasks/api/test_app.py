"""The routes: answers, refusals in one shape, ids of requests, the token, the schema."""

import json
import re

import pytest

from genrec.event_log.event import MAX_ID_CHARS
from genrec.serve.query import Query
from tasks.api.histories import Seen
from tests.support.api_tiny import NUM_ITEMS, TOKEN, Shelf, api_client, api_engine, api_service


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A client of an endpoint that no test changes but by events of users of its own."""
    histories = {"known": [Seen(1_000_000_000_000, "i1"), Seen(1_000_000_000_001, "i2")]}
    source = Shelf(lambda user: histories.get(user, []), frozenset({"click", "purchase"}))
    service = api_service(tmp_path_factory.mktemp("api"), source, max_history=50, max_body_kb=64, max_events=5)
    with api_client(service) as client:
        yield client


def recommend(client, **body):
    return client.post("/v1/recommend", json=body)


def ids(answer) -> list[str]:
    return [item["item_id"] for item in answer.json()["items"]]


def test_an_answer_is_that_of_the_engine_and_names_its_model(client):
    answer = recommend(client, history=["i3", "i5"], k=4)
    assert answer.status_code == 200
    (expected,) = api_engine().answer([Query(["i3", "i5"], 4)])
    body = answer.json()
    assert [(i["item_id"], i["title"], tuple(i["sid"])) for i in body["items"]] == [
        (i.item_id, i.title, i.sid) for i in expected.items
    ]
    assert [i["score"] for i in body["items"]] == pytest.approx([i.score for i in expected.items], abs=1e-5)
    assert (body["model_key"], body["source"], body["unknown"]) == ("model-a", "model", [])


def test_seen_items_stay_out_unless_asked_for(client):
    seen = [f"i{n}" for n in range(30)]
    assert not set(ids(recommend(client, history=seen, k=20))) & set(seen)
    assert set(ids(recommend(client, history=seen, k=NUM_ITEMS, keep_seen=True))) >= set(seen)


def test_only_what_is_allowed_and_not_excluded_comes_out(client):
    mugs = {f"i{n}" for n in range(NUM_ITEMS) if n % 2}
    answer = recommend(client, history=["i0"], k=30, allow={"categories": ["Mugs"]}, exclude=["i7"])
    assert set(ids(answer)) == mugs - {"i7"}
    both = recommend(client, history=["i0"], allow={"categories": ["Mugs"], "items": ["i2", "i3"]})
    assert ids(both) == ["i3"]


def test_nobody_gets_an_error_for_being_new(client):
    unknown = recommend(client, history=["nothing", "i3", "also nothing"]).json()
    assert (unknown["unknown"], unknown["source"]) == (["nothing", "also nothing"], "model")
    empty = recommend(client, history=[], k=3, allow={"items": ["i9", "i2", "i4"]})
    assert (ids(empty), empty.json()["source"]) == (["i2", "i4", "i9"], "popular")
    assert recommend(client, user_id="never seen", k=2).json()["source"] == "popular"
    closed = recommend(client, history=["i3"], allow={"items": []})
    assert (closed.status_code, ids(closed), closed.json()["source"]) == (200, [], "none")


def test_an_event_that_was_accepted_is_in_the_next_answers_history(client):
    before = recommend(client, user_id="new one", k=NUM_ITEMS)
    assert "i6" in ids(before)
    sent = client.post("/v1/events", json={"events": [{"user_id": "new one", "item_id": "i6", "event": "click"}]})
    assert (sent.status_code, [e["repeated"] for e in sent.json()["events"]]) == (200, [False])
    after = recommend(client, user_id="new one", k=5)
    assert ids(after) == ids(recommend(client, history=["i6"], k=5))


def test_whoever_has_an_event_can_be_asked_for(client):
    user_id = "u" * MAX_ID_CHARS
    event = {"user_id": user_id, "item_id": "i6", "event": "click"}
    assert client.post("/v1/events", json={"events": [event]}).status_code == 200
    assert ids(recommend(client, user_id=user_id, k=5)) == ids(recommend(client, history=["i6"], k=5))


def test_a_known_users_history_is_that_of_the_data_and_then_of_the_log(client):
    assert ids(recommend(client, user_id="known", k=5)) == ids(recommend(client, history=["i1", "i2"], k=5))
    event = {"user_id": "known", "item_id": "i9", "event": "purchase"}
    client.post("/v1/events", json={"events": [event, {**event, "item_id": "i8", "event": "looked-at"}]})
    assert ids(recommend(client, user_id="known", k=5)) == ids(recommend(client, history=["i1", "i2", "i9"], k=5))


@pytest.mark.parametrize(("dedupe", "read"), [(True, ["i6", "i7", "i3"]), (False, ["i6", "i7", *["i3"] * 20])])
def test_an_item_that_is_met_again_and_again_pushes_nothing_out_of_the_history_of_a_model_that_learned_first_events(
    tmp_path, dedupe, read
):
    events = [{"user_id": "u", "item_id": item, "event": "click"} for item in ["i6", "i7", *["i3"] * 20]]
    with api_client(api_service(tmp_path, Shelf(dedupe=dedupe))) as client:
        client.post("/v1/events", json={"events": events}).raise_for_status()
        assert client.post("/v1/history", json={"user_id": "u"}).json()["history"] == read
        assert ids(recommend(client, user_id="u", k=5)) == ids(recommend(client, history=read, k=5))


def test_an_event_that_is_sent_twice_counts_once_and_another_of_its_id_is_refused(client):
    event = {"user_id": "u2", "item_id": "i6", "event": "click", "event_id": "e1"}
    assert client.post("/v1/events", json={"events": [event]}).json()["events"][0]["repeated"] is False
    assert client.post("/v1/events", json={"events": [event]}).json()["events"][0]["repeated"] is True
    other = client.post("/v1/events", json={"events": [{**event, "item_id": "i7"}]})
    assert (other.status_code, other.json()["error"]) == (409, "event_conflict")


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/v1/recommend", "{", 400, "no JSON"),
        ("/v1/recommend", "", 400, "no JSON"),
        ("/v1/recommend", '{"history": ["\\ud800"]}', 400, "no JSON"),
        ("/v1/recommend", "[]", 422, "body"),
        ("/v1/recommend", "{}", 422, "history or user_id"),
        ("/v1/recommend", '{"history": "i1"}', 422, "history"),
        ("/v1/recommend", '{"history": [1]}', 422, "history.0"),
        ("/v1/recommend", '{"history": [], "k": 0}', 422, "k"),
        ("/v1/recommend", '{"history": [], "k": "10"}', 422, "k"),
        ("/v1/recommend", '{"history": [], "k": 41}', 422, "41 is more than the 40 items of the catalogue"),
        ("/v1/recommend", '{"history": [], "k": 1e400}', 422, "k"),
        ("/v1/recommend", '{"history": [], "histori": []}', 422, "did you mean history?"),
        ("/v1/recommend", '{"history": [], "allow": {"category": []}}', 422, "did you mean categories?"),
        ("/v1/recommend", json.dumps({"history": ["i1"] * 51}), 422, "api.max_history"),
        ("/v1/recommend", '{"user_id": ""}', 422, "user_id"),
        ("/v1/recommend", '{"user_id": "a\\u0000b"}', 422, "user_id"),
        ("/v1/events", '{"events": []}', 422, "events"),
        ("/v1/events", '{"events": [{"user_id": "u", "item_id": "i"}]}', 422, "events.0.event"),
        ("/v1/events", '{"events": [{"user_id": "u", "item_id": "i", "event": "Click!"}]}', 422, "event"),
        ("/v1/events", '{"events": [{"user_id": "u", "item_id": "i", "event": "click", "timestamp": 9000000000000}]}', 422, "timestamp"),
        ("/v1/events", '{"events": [{"user": "u"}]}', 422, "did you mean user_id?"),
        ("/v1/events", json.dumps({"events": [{"user_id": "u", "item_id": "i", "event": "click"}] * 6}), 422, "api.max_events"),
        ("/v1/catalogue", '{"stock": {"i1": 1}}', 422, "stock"),
        ("/v1/catalogue", '{"items": [{"item_id": "n"}]}', 422, "title"),
        ("/v1/catalogue", '{"items": [{"item_id": "a\\nb", "title": "N"}]}', 422, "control character"),
        ("/v1/catalogue", '{"items": [{"item_id": " a", "title": "N"}]}', 422, "blanks"),
        ("/v1/catalogue", "{}", 422, "stock"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused_in_one_shape(client, path, body, status, says):
    answer = client.post(path, content=body)
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"error", "detail", "request_id"}
    assert says in answer.json()["detail"]


def test_every_answer_carries_the_id_of_its_request(client):
    for path in ("/health", "/metrics", "/v1/nothing"):
        assert client.get(path).headers["x-request-id"]
    given = client.get("/health", headers={"X-Request-Id": "mine-1"})
    assert given.headers["x-request-id"] == "mine-1"
    refused = recommend(client, k=3)
    assert refused.json()["request_id"] == refused.headers["x-request-id"]
    forged = client.get("/health", headers={"X-Request-Id": "a b\x01"})
    assert forged.headers["x-request-id"] != "a b\x01"


@pytest.mark.parametrize(
    ("headers", "error"),
    [({"Authorization": ""}, "wrong_token"), ({"Authorization": "Bearer no"}, "wrong_token"), ({"Authorization": "Basic eDp5"}, "wrong_token")],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/recommend", "/metrics", "/v1/events", "/nothing"])
def test_another_token_is_refused_on_every_route_of_the_shop(client, headers, error, path):
    answer = client.post(path, json={}, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (401, error)
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
def test_the_case_of_the_scheme_before_the_token_does_not_count(client, scheme):
    headers = {"Authorization": f"{scheme} {TOKEN}"}
    assert client.post("/v1/recommend", json={"history": []}, headers=headers).status_code == 200


def test_without_a_token_only_pages_without_data_open(client):
    bare = {name: value for name, value in client.headers.items() if name != "authorization"}
    client.headers.clear()
    try:
        assert client.get("/v1/recommend").json()["error"] == "no_token"
        assert [client.get(path).status_code for path in ("/health", "/docs", "/openapi.json")] == [200] * 3
    finally:
        client.headers.update({**bare, "Authorization": "Bearer the-token-of-the-tests"})


def test_the_page_of_the_schema_loads_nothing_from_another_host(client):
    page = client.get("/docs").text
    loaded = [*re.findall(r'(?:src|href)="([^"]+)"', page), *re.findall(r"url: '([^']+)'", page)]
    assert len(loaded) == 4
    for address in loaded:
        assert address.startswith(("/", "http://testserver/", str(client.base_url))), address
        assert client.get(address).status_code == 200


def test_health_answers_a_probe_that_asks_for_no_body(client):
    answer = client.head("/health")
    assert (answer.status_code, answer.content) == (200, b"")


def test_health_says_which_model_answers_since_when(client):
    health = client.get("/health").json()
    assert (health["ready"], health["model_key"], health["items"], health["problem"]) == (
        True,
        "model-a",
        NUM_ITEMS,
        "",
    )
    assert health["since_unix_s"] > 0


def test_metrics_count_requests_batches_fallbacks_and_errors(client):
    recommend(client, history=[])
    recommend(client, k="x")
    page = client.get("/metrics").text
    for line in (
        'genrec_model_info{model_key="model-a"', 'genrec_requests_total{route="/v1/recommend",status="200"}',
        'genrec_answers_total{source="popular"}', 'genrec_errors_total{error="invalid"}', "genrec_batch_size_bucket",
        "genrec_queue_seconds_bucket", "genrec_request_seconds_bucket", "genrec_queue_length", "genrec_unknown_items_total",
    ):  # fmt: skip
        assert line in page


def test_the_schema_names_bodies_and_the_token(client):
    schema = client.get("/openapi.json").json()
    assert {"/v1/recommend", "/v1/events", "/v1/catalogue", "/health", "/metrics"} <= schema["paths"].keys()
    body = schema["paths"]["/v1/recommend"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["$ref"].removeprefix("#/components/schemas/") in schema["components"]["schemas"]
    assert {"history", "user_id", "k"} <= schema["components"]["schemas"]["RecommendBody"]["properties"].keys()
    assert schema["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
