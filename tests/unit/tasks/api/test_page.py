"""The page and its routes: files, titles, categories, histories, models, why."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import resources

import pytest
from starlette.testclient import TestClient

from tasks.api.app import build_app
from tasks.api.page import MAX_WHYS
from tests.support.api_tiny import Shelf, api_client, api_engine, api_service
from tests.support.pages import outside_addresses

NOW = 1_750_000_000_000  # ms


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    beside = Shelf()
    beside.engines[0] = api_engine("model-b", seed=1)
    with api_client(api_service(tmp_path_factory.mktemp("api"), beside=beside)) as client:
        yield client


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    with api_client(api_service(tmp_path_factory.mktemp("alone"))) as client:
        yield client


def test_the_page_needs_no_token_and_what_it_shows_does(tmp_path):
    with TestClient(build_app(api_service(tmp_path))) as stranger:
        assert stranger.get("/").status_code == 200
        assert stranger.get("/static/page.js").status_code == 200
        for path in ("/v1/items?q=thing", "/v1/categories", "/v1/models"):
            assert stranger.get(path).status_code == 401
        assert stranger.post("/v1/why", json={"item_id": "i1", "history": []}).status_code == 401
        assert stranger.post("/v1/history", json={"user_id": "u"}).status_code == 401


def test_the_page_may_load_nothing_from_elsewhere_and_run_no_script_of_a_text(client):
    for path in ("/", "/static/page.js", "/static/page.css"):
        headers = client.get(path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'self'"
        assert not {"script-src", "style-src"} & set(policy), "a laxer rule than default-src"
        assert headers["x-content-type-options"] == "nosniff"


def test_the_page_is_made_of_files_of_its_own(client):
    html = client.get("/").text
    assert [address for address in outside_addresses(html) if not address.startswith("/")] == []
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|<style|\sstyle=", html)
    scripts = {f.name: f.read_text() for f in resources.files("genrec.serve").joinpath("page").iterdir()}
    for name, text in scripts.items():
        assert client.get("/" if name == "index.html" else f"/static/{name}").text == text
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|https?://(?!www\.w3\.org)", text
        )
        for imported in re.findall(r'from "\./([\w.]+)"', text):
            assert imported in scripts


@pytest.mark.parametrize("name", ["page.py", "..%2Fengine.py", "../engine.py", "%2e%2e/engine.py", "", "x" * 5000])
def test_other_files_are_not_served(client, name):
    assert client.get(f"/static/{name}").status_code == 404


def test_items_are_found_by_words_of_their_titles(client):
    found = client.get("/v1/items", params={"q": "thing 1", "limit": 3}).json()["items"]
    assert [item["item_id"] for item in found] == ["i1", "i10", "i11"]
    assert found[0] == {
        "item_id": "i1", "title": "thing 1", "brand": "brand", "categories": ["Kitchen", "Mugs"], "in_stock": True
    }  # fmt: skip
    assert client.get("/v1/items", params={"q": "zeppelin"}).json()["items"] == []
    assert client.get("/v1/items").json()["items"] == []


def test_items_are_described_by_their_ids_in_the_order_given(client):
    found = client.get("/v1/items", params={"item_id": ["i7", "gone", "i2"]}).json()["items"]
    assert [item["item_id"] for item in found] == ["i7", "i2"]


@pytest.mark.parametrize(
    "query",
    ["q=" + "x" * 201, "limit=0", "limit=201", "limit=many", "&".join(["item_id=i1"] * 201)],
    ids=lambda q: q[:12],
)
def test_a_search_that_is_none_is_refused(client, query):
    answer = client.get(f"/v1/items?{query}")
    assert answer.status_code == 422
    assert set(answer.json()) == {"error", "detail", "request_id"}


def test_categories_are_listed_the_largest_first(client):
    assert client.get("/v1/categories").json()["categories"] == [
        {"name": "Kitchen", "items": 40},
        {"name": "Mugs", "items": 20},
        {"name": "Trays", "items": 20},
    ]


def test_the_history_of_a_customer_is_what_was_sent(client):
    sent = [
        {"user_id": "ann", "item_id": item, "event": "click", "timestamp": NOW + i}
        for i, item in enumerate(["i3", "gone", "i5"])
    ]
    assert client.post("/v1/events", json={"events": sent}).status_code == 200
    history = client.post("/v1/history", json={"user_id": "ann"}).json()
    assert history["history"] == ["i3", "gone", "i5"]
    assert [item["item_id"] for item in history["items"]] == ["i3", "i5"]
    assert client.post("/v1/history", json={"user_id": "nobody"}).json()["items"] == []


def test_the_models_that_answer_are_named(client, alone):
    assert [(m["model"], m["model_key"]) for m in client.get("/v1/models").json()["models"]] == [
        ("service", "model-a"),
        ("beside", "model-b"),
    ]
    assert [m["model"] for m in alone.get("/v1/models").json()["models"]] == ["service"]


def test_both_models_answer_the_same_question_each_for_itself(client):
    asked = {"history": ["i3", "i5"], "k": 5, "keep_seen": True}
    lists = {m: client.post("/v1/recommend", json=asked | {"model": m}).json() for m in ("service", "beside")}
    assert [lists[m]["model_key"] for m in lists] == ["model-a", "model-b"]
    assert lists["service"]["items"] != lists["beside"]["items"]
    for model, answer in lists.items():
        item = answer["items"][0]
        why = client.post("/v1/why", json={"history": ["i3", "i5"], "item_id": item["item_id"], "model": model}).json()
        assert why["score"] == pytest.approx(item["score"], abs=1e-3)


def test_a_change_of_the_catalogue_counts_for_both_models(tmp_path):
    with api_client(api_service(tmp_path, beside=Shelf())) as client:
        assert client.post("/v1/catalogue", json={"stock": {"i3": False}}).status_code == 200
        for model in ("service", "beside"):
            answer = client.post("/v1/recommend", json={"history": ["i1"], "k": 40, "model": model}).json()
            assert {"i3", "i1"}.isdisjoint(item["item_id"] for item in answer["items"])
        assert not client.get("/v1/items", params={"item_id": "i3"}).json()["items"][0]["in_stock"]


@pytest.mark.parametrize("route", ["recommend", "why"])
def test_a_model_that_is_not_there_is_refused(alone, route):
    answer = alone.post(
        f"/v1/{route}", json={"history": ["i1"], "model": "beside"} | ({"item_id": "i2"} if route == "why" else {})
    )
    assert answer.status_code == 422
    assert "there is service" in answer.json()["detail"]


def test_why_adds_up_and_names_the_history_and_the_path(client):
    why = client.post("/v1/why", json={"history": ["i3", "gone", "i5"], "item_id": "i9"}).json()
    assert sum(part["points"] for part in why["parts"]) == pytest.approx(why["score"] - why["even_score"])
    assert {one["item_id"] for one in why["history"]} == {"i3", "i5"}
    assert why["path"][-1]["title"] == "thing 9"
    assert why["path"][-1]["codes"] == why["sid"]


def test_why_takes_a_customer_and_an_empty_history(client):
    client.post(
        "/v1/events", json={"events": [{"user_id": "bob", "item_id": "i4", "event": "click", "timestamp": NOW}]}
    )
    of_bob = client.post("/v1/why", json={"user_id": "bob", "item_id": "i9"}).json()
    same = client.post("/v1/why", json={"history": ["i4"], "item_id": "i9"}).json()
    assert of_bob["score"] == pytest.approx(same["score"])
    assert client.post("/v1/why", json={"history": [], "item_id": "i9"}).json()["source"] == "popular"


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"history": ["i1"], "item_id": "gone"}, 404, "no item 'gone'"),
        ({"item_id": "i1"}, 422, "one of them is needed"),
        ({"history": ["i1"]}, 422, "item_id"),
        ({"history": "i1", "item_id": "i1"}, 422, "history"),
        ({"history": ["i1"], "item_id": "i1", "k": 3}, 422, "unknown field"),
        ({"history": ["i1"] * 2001, "item_id": "i1"}, 422, "max_history"),
    ],
)
def test_a_question_why_that_is_none_is_refused(client, body, status, detail):
    answer = client.post("/v1/why", json=body)
    assert (answer.status_code, detail in answer.json()["detail"]) == (status, True), answer.text


def test_explanations_that_wait_are_bounded_and_lists_go_on(tmp_path):
    service = api_service(tmp_path)
    with api_client(service) as client, ThreadPoolExecutor(MAX_WHYS) as threads:
        client.post("/v1/why", json=(asked := {"history": ["i1"], "item_id": "i2"}))
        searching, go_on, one_waits = threading.Event(), threading.Event(), threading.Semaphore(0)

        def hold_the_search() -> None:
            searching.set()
            go_on.wait(60)

        whole = service.beside_the_search

        def noticed(*arguments):
            one_waits.release()
            return whole(*arguments)

        service.beside_the_search = noticed
        service._search.submit(hold_the_search)
        searching.wait(60)
        waiting = [threads.submit(client.post, "/v1/why", json=asked) for _ in range(MAX_WHYS)]
        for _ in range(MAX_WHYS):
            assert one_waits.acquire(timeout=60)
        refused = client.post("/v1/why", json=asked)
        go_on.set()
        assert (refused.status_code, refused.json()["error"]) == (503, "queue_full")
        assert {answer.result().status_code for answer in waiting} == {200}
        assert client.post("/v1/why", json=asked).status_code == 200
