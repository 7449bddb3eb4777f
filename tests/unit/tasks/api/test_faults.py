"""The database of the events held by another or full, and a clock that goes back: what the client sees, and what is kept."""

import contextlib
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from genrec.event_log import open_log
from tests.support.api_tiny import NUM_ITEMS, api_client, api_service


def send(client, *items: str):
    events = [{"user_id": "u", "item_id": item, "event": "click"} for item in items]
    return client.post("/v1/events", json={"events": events})


def kept(folder) -> list[str]:
    with open_log(folder / "events.sqlite") as log:
        return [event.item_id for event in log.read()]


def test_while_another_holds_the_database_events_and_changes_get_503_and_may_be_sent_again(tmp_path):
    with api_client(api_service(tmp_path)) as client:
        assert send(client, "i1").status_code == 200
        holder = sqlite3.connect(tmp_path / "events.sqlite", isolation_level=None)
        with contextlib.closing(holder):
            holder.execute("BEGIN IMMEDIATE")
            refused = send(client, "i2")
            assert (refused.status_code, refused.json()["error"]) == (503, "log_unavailable")
            assert refused.headers["retry-after"] == "1"
            assert client.post("/v1/catalogue", json={"stock": {"i0": False}}).status_code == 503
            assert client.post("/v1/recommend", json={"user_id": "u"}).status_code == 200
            holder.execute("ROLLBACK")
        assert send(client, "i2").status_code == 200
    assert kept(tmp_path) == ["i1", "i2"]


def test_a_full_disk_gets_503_and_loses_nothing_that_was_accepted(tmp_path):
    service = api_service(tmp_path)
    pages = 40

    def bounded(connection, record) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")  # SQLite reports SQLITE_FULL, as for a full disk

    engine = service._events._database.engine
    engine.dispose()
    sa.event.listen(engine, "connect", bounded)
    accepted = []
    with api_client(service) as client:
        for n in range(100):
            items = [f"item-{n}-{m}-{'x' * 200}" for m in range(20)]
            answer = send(client, *items)
            if answer.status_code != 200:
                break
            accepted += items
        assert (answer.status_code, answer.json()["error"]) == (503, "log_unavailable")
        assert "nothing was stored" in answer.json()["detail"]
        assert client.post("/v1/recommend", json={"user_id": "u", "k": 3}).status_code == 200
        assert client.get("/health").status_code == 200
    assert accepted
    assert kept(tmp_path) == accepted


def test_a_clock_that_goes_back_leaves_events_in_the_order_they_came(tmp_path):
    now = 2_000_000_000.0
    service = api_service(tmp_path, clock=lambda: now)

    def best(client, **body) -> list[str]:
        return [i["item_id"] for i in client.post("/v1/recommend", json={"k": 5, **body}).json()["items"]]

    with api_client(service) as client:
        for n, item in enumerate(("i1", "i2", "i3")):
            now = 2_000_000_000.0 - 3600 * n
            assert send(client, item).status_code == 200
        assert best(client, user_id="u") == best(client, history=["i1", "i2", "i3"])
        assert best(client, user_id="u") != best(client, history=["i3", "i2", "i1"])
        assert client.get("/health").json()["ready"] is True


@pytest.mark.parametrize("limit", [1, 3])
def test_a_queue_that_is_full_gets_503_and_the_rest_their_answers(tmp_path, limit):
    """Requests at once, far more than may wait: each is answered or told to come again."""
    from concurrent.futures import ThreadPoolExecutor

    service = api_service(tmp_path, max_queue=limit, max_batch=1)
    with api_client(service) as client, ThreadPoolExecutor(16) as threads:
        body = {"history": ["i1"], "k": NUM_ITEMS}
        asked = [threads.submit(client.post, "/v1/recommend", json=body) for _ in range(64)]
        answers = [done.result() for done in asked]
    refused = [a for a in answers if a.status_code != 200]
    assert {(a.status_code, a.json()["error"]) for a in refused} <= {(503, "queue_full")}
    assert len(refused) < len(answers)
    assert all(a.headers["retry-after"] == "1" for a in refused)


def test_a_log_that_hangs_costs_a_request_its_deadline_and_no_more(tmp_path, monkeypatch):
    service = api_service(tmp_path, deadline_ms=50)
    goes_on = threading.Event()
    monkeypatch.setattr(service._events, "history", lambda *asked: goes_on.wait(60) and [])
    with api_client(service) as client:
        try:
            answer = client.post("/v1/recommend", json={"user_id": "u"})
        finally:
            goes_on.set()
        assert (answer.status_code, answer.json()["error"]) == (504, "deadline")
        assert "event log" in answer.json()["detail"]


def test_writes_that_wait_for_a_slow_database_are_bounded(tmp_path, monkeypatch):
    service = api_service(tmp_path, max_queue=2)
    held, append = threading.Event(), service._events.append

    def slow(events):
        held.wait(60)
        return append(events)

    monkeypatch.setattr(service._events, "append", slow)
    with api_client(service) as client, ThreadPoolExecutor(3) as senders:
        waiting = [senders.submit(send, client, f"i{n}") for n in range(2)]
        while service._writes[service._database] < 2:
            time.sleep(0.01)
        refused = send(client, "i9")
        assert (refused.status_code, refused.json()["error"], refused.headers["retry-after"]) == (
            503,
            "queue_full",
            "1",
        )
        held.set()
        assert [one.result().status_code for one in waiting] == [200, 200]
        assert send(client, "i3").status_code == 200
    assert sorted(kept(tmp_path)) == ["i0", "i1", "i3"]
