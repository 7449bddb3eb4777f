"""The model and the catalogue while they change: no failed or mixed answer, the old one serves on, changes last."""

import asyncio
import itertools
import logging

import pytest

from genrec.errors import DataError, GenrecError
from genrec.serve.query import Answer, Query, Recommended
from tasks.api.journal import Change
from tests.support.api_tiny import FreeIds, Shelf, api_catalogue, api_client, api_engine, api_service


class Scripted:
    """An engine that is quick: its list for a history is the history behind its own key."""

    def __init__(self, model_key: str) -> None:
        self.model_key, self.catalogue = model_key, api_catalogue()

    def warm_up(self) -> None:
        pass

    def answer(self, queries):
        return [
            Answer([Recommended(f"{self.model_key}:{i}", "", 0.0, (0, 0, 0)) for i in q.history], [], "model", self.model_key)
            for q in queries
        ]  # fmt: skip


def test_ten_thousand_answers_under_swaps_fail_never_and_are_each_of_one_model(tmp_path):
    source, swaps, seen = Shelf(), itertools.count(1), []
    source.engines = {n: Scripted(f"model-{n}") for n in range(2)}
    service = api_service(tmp_path, source, max_batch=16, max_queue=10_000, deadline_ms=600_000, batch_wait_ms=0)

    async def ask(n: int) -> None:
        answer = (await service.answer(Query([f"i{n}"]))).answer
        assert [i.item_id for i in answer.items] == [f"{answer.model_key}:i{n}"]
        seen.append(answer.model_key)

    async def swap(until: asyncio.Task) -> None:
        while not until.done():
            source.in_service = next(swaps) % 2
            await service._in(service._changes, service.live.refresh)

    async def all_of_them():
        async with service.running():
            asking = asyncio.create_task(asyncio.wait([asyncio.create_task(ask(n)) for n in range(10_000)]))
            await swap(asking)
            for done in (await asking)[0]:
                done.result()

    asyncio.run(all_of_them())
    assert len(seen) == 10_000
    assert sum(a != b for a, b in itertools.pairwise(seen)) > 10


def test_a_model_that_cannot_be_loaded_leaves_the_old_one_serving_and_says_so(tmp_path, caplog):
    source = Shelf()
    with api_client(api_service(tmp_path, source, reload_every_s=3600)) as client:
        live = client.app.state.service.live
        source.engines[1] = GenrecError("rl-123: missing or damaged")
        source.in_service = 1
        with caplog.at_level(logging.ERROR, "genrec.api"):
            live.refresh()
        answer = client.post("/v1/recommend", json={"history": ["i1"]})
        assert (answer.status_code, answer.json()["model_key"]) == (200, "model-a")
        health = client.get("/health").json()
        assert health["ready"] is True
        assert "rl-123: missing or damaged" in health["problem"]
        assert "rl-123: missing or damaged" in caplog.text
        assert 'genrec_reloads_total{outcome="failed"} 1.0' in client.get("/metrics").text
        source.engines[2] = api_engine("model-c", seed=2)
        source.in_service = 2  # a model that is whole is taken at once
        live.refresh()
        assert client.post("/v1/recommend", json={"history": ["i1"]}).json()["model_key"] == "model-c"
        assert client.get("/health").json()["problem"] == ""


def test_a_damaged_model_is_tried_again_after_a_while_not_at_every_look(tmp_path, monkeypatch):
    source = Shelf()
    with api_client(api_service(tmp_path, source, reload_every_s=3600)) as client:
        live = client.app.state.service.live
        source.engines[1], source.in_service = GenrecError("damaged"), 1
        now = 1000.0
        monkeypatch.setattr("tasks.api.live.time.monotonic", lambda: now)
        live.refresh()
        source.engines[1] = api_engine("model-mended")
        live.refresh()
        assert live.snapshot.engine.model_key == "model-a"
        now += 3
        live.refresh()
        assert live.snapshot.engine.model_key == "model-mended"


def test_a_store_that_cannot_be_reached_leaves_the_model_serving(tmp_path, monkeypatch):
    source = Shelf()
    with api_client(api_service(tmp_path, source, reload_every_s=3600)) as client:
        live = client.app.state.service.live
        monkeypatch.setattr(source, "version", lambda: 1 / 0)
        live.refresh()
        assert "which model is in service" in client.get("/health").json()["problem"]
        assert client.post("/v1/recommend", json={"history": ["i1"]}).status_code == 200


def test_what_is_out_of_stock_is_not_recommended_also_after_a_restart_and_by_another_model(tmp_path):
    def best(client) -> list[str]:
        return [i["item_id"] for i in client.post("/v1/recommend", json={"history": ["i1"], "k": 5}).json()["items"]]

    source = Shelf()
    with api_client(api_service(tmp_path, source, reload_every_s=3600)) as client:
        first = best(client)
        done = client.post("/v1/catalogue", json={"stock": {first[0]: False, "unheard of": False}}).json()
        assert (done["unknown"], done["change"]) == (["unheard of"], 1)
        assert first[0] not in best(client)
        assert client.get("/health").json()["catalogue_change"] == 1
    source.engines[0] = api_engine("model-b", seed=1)
    with api_client(api_service(tmp_path, source, reload_every_s=3600)) as client:
        assert first[0] not in [*best(client), *popular(client)]
        client.post("/v1/catalogue", json={"stock": {first[0]: True}})
        assert first[0] in popular(client)


def popular(client, k: int = 40) -> list[str]:
    answer = client.post("/v1/recommend", json={"history": [], "k": k})
    return [item["item_id"] for item in answer.json()["items"]]


def test_a_new_item_is_recommendable_at_once_and_after_a_restart(tmp_path):
    new = {"item_id": "new", "title": "New mug", "categories": ["Novelties"]}
    only_new = {"history": ["i1"], "allow": {"categories": ["Novelties"]}}
    with api_client(api_service(tmp_path, reload_every_s=3600)) as client:
        done = client.post("/v1/catalogue", json={"items": [new, {**new, "item_id": "i1"}]}).json()
        assert (done["added"], done["known"]) == (["new"], ["i1"])
        answer = client.post("/v1/recommend", json=only_new).json()
        assert [(i["item_id"], i["title"]) for i in answer["items"]] == [("new", "New mug")]
        after = client.post("/v1/recommend", json={"history": ["new"]}).json()
        assert (after["unknown"], after["source"]) == ([], "model")
        again = client.post("/v1/catalogue", json={"items": [new]}).json()
        assert (again["added"], again["known"]) == ([], ["new"])
        assert client.get("/health").json()["items"] == 41
    with api_client(api_service(tmp_path, reload_every_s=3600)) as client:
        (item,) = client.post("/v1/recommend", json=only_new).json()["items"]
        assert item == answer["items"][0]


def test_a_new_item_is_in_stock_whatever_was_said_of_its_id_before_also_after_a_restart(tmp_path):
    with api_client(api_service(tmp_path, reload_every_s=3600)) as client:
        client.post("/v1/catalogue", json={"stock": {"new": False}})
        client.post("/v1/catalogue", json={"items": [{"item_id": "new", "title": "New"}]})
        assert "new" in popular(client, 41)
    with api_client(api_service(tmp_path, reload_every_s=3600)) as client:
        assert "new" in popular(client, 41)
        client.post("/v1/catalogue", json={"stock": {"new": False}, "items": [{"item_id": "new", "title": "Again"}]})
        assert "new" not in popular(client, 41)


def test_a_new_item_that_gets_no_id_is_refused_and_the_whole_change_with_it(tmp_path):
    body = {"items": [{"item_id": "new", "title": "impossible"}], "stock": {"i0": False}}
    with api_client(api_service(tmp_path, reload_every_s=3600)) as client:
        refused = client.post("/v1/catalogue", json=body)
        assert (refused.status_code, refused.json()["detail"]) == (422, "new items: no id is left")
        assert "i0" in popular(client)


def test_a_change_that_another_endpoint_of_the_database_kept_is_taken_over(tmp_path):
    one, other = api_service(tmp_path, reload_every_s=3600), api_service(tmp_path, reload_every_s=3600)
    with api_client(one) as here, api_client(other) as there:
        here.post("/v1/catalogue", json={"stock": {"i0": False}})
        assert "i0" in popular(there)
        other.live.refresh()
        assert "i0" not in popular(there)


def test_changes_that_two_endpoints_keep_at_the_same_time_reach_both(tmp_path, monkeypatch):
    one, other = api_service(tmp_path, reload_every_s=3600), api_service(tmp_path, reload_every_s=3600)
    with api_client(one) as here, api_client(other) as there:
        keep = one._journal.append

        def keep_after_the_other(change: Change) -> tuple[int, int]:
            there.post("/v1/catalogue", json={"stock": {"i1": False}})
            return keep(change)

        monkeypatch.setattr(one._journal, "append", keep_after_the_other)
        assert here.post("/v1/catalogue", json={"stock": {"i0": False}}).json()["change"] == 2
        other.live.refresh()
        for client in (here, there):
            assert not {"i0", "i1"} & set(popular(client))


class WithVector:
    """Ids as the tests' source gives them, but only for items that bring a vector."""

    def give(self, items, taken):
        if any(item.vector is None for item in items):
            raise DataError("an item has no vector")
        return FreeIds().give(items, taken)


def test_items_that_another_model_cannot_take_do_not_keep_it_out_of_service(tmp_path, caplog, monkeypatch):
    source = Shelf()
    items = [{"item_id": f"new{n}", "title": "New"} | ({} if n == 2 else {"vector": [1.0]}) for n in range(5)]
    with api_client(api_service(tmp_path, source, reload_every_s=3600)) as client:
        client.post("/v1/catalogue", json={"items": items, "stock": {"i0": False}})
        source.engines[1], source.in_service = api_engine("model-b", seed=1), 1
        monkeypatch.setattr("tests.support.api_tiny.FreeIds", WithVector)
        with caplog.at_level(logging.ERROR, "genrec.api"):
            client.app.state.service.live.refresh()
        health = client.get("/health").json()
        assert (health["model_key"], health["items"], health["problem"]) == ("model-b", 44, "")
        assert "new item 'new2' is left out, version 1 cannot take it: an item has no vector" in caplog.text
        assert "i0" not in popular(client)


def test_a_change_that_cannot_be_kept_changes_nothing(tmp_path, monkeypatch):
    from genrec.event_log import LogFull

    service = api_service(tmp_path, reload_every_s=3600)
    with api_client(service) as client:

        def full(change: Change) -> tuple[int, int]:
            raise LogFull("the disk is full; nothing was stored")

        monkeypatch.setattr(service._journal, "append", full)
        refused = client.post("/v1/catalogue", json={"stock": {"i0": False}})
        assert (refused.status_code, refused.json()["error"]) == (503, "log_unavailable")
        assert refused.headers["retry-after"]
        assert "i0" in popular(client)


@pytest.mark.parametrize("changes", [[{"i0": False}, {"i0": True}], [{"i0": True}, {"i0": False}]])
def test_the_last_word_on_an_items_stock_counts(tmp_path, changes):
    with api_client(api_service(tmp_path, reload_every_s=3600)) as client:
        for stock in changes:
            client.post("/v1/catalogue", json={"stock": stock})
        expected = changes[-1]["i0"]
        assert ("i0" in popular(client)) is expected
    with api_client(api_service(tmp_path, reload_every_s=3600)) as client:
        assert ("i0" in popular(client)) is expected
