"""Models with and without a ranking take turns in service."""

import pytest

from genrec.serve.query import Query
from genrec.serve.ranked.lists import FAILED
from genrec.serve.recommender import load_engine
from tests.support.api_tiny import Shelf, api_client, api_service
from tests.support.evaluate_tiny import NUM_ITEMS
from tests.support.ranked_serving import plain, write_ranked

HISTORY = ["item 3", "item 8", "item 1"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_ranked(tmp_path_factory.mktemp("ranked") / "shop")


def listed(client, k=5):
    answer = client.post("/v1/recommend", json={"history": HISTORY, "k": k})
    assert answer.status_code == 200
    return [item["item_id"] for item in answer.json()["items"]]


def list_of(engine, k=5):
    return [item.item_id for item in engine.answer([Query(HISTORY, k)])[0].items]


def test_lists_are_ranked_while_a_model_with_a_ranking_is_in_service_and_no_longer(tmp_path, files):
    source = Shelf()
    ranked, other, broken = (load_engine(of, "cpu") for of in (files, plain(files), files))
    broken.ranking._retrieval.channels["itemcf"].top = None
    source.engines = {"other": other, "ranked": ranked, "broken": broken}
    source.in_service = "other"
    assert list_of(ranked) != list_of(other)
    with api_client(api_service(tmp_path, source, reload_every_s=3600)) as client:
        live = client.app.state.service.live

        def take(version: str) -> None:
            source.in_service = version
            live.refresh()

        assert listed(client) == list_of(other)
        take("ranked")  # promoted
        assert listed(client) == list_of(ranked)
        assert len(listed(client, NUM_ITEMS)) == NUM_ITEMS - len(HISTORY)
        longer = 'genrec_ranking_warnings_total{what="list longer than its candidates"}'
        assert longer in client.get("/metrics").text
        take("broken")  # its ranking fails at the first search: the model before goes on
        assert "the ranking of this model fails" in client.get("/health").json()["problem"]
        assert listed(client) == list_of(ranked)
        new = {"items": [{"item_id": "new", "title": "New"}], "stock": {list_of(ranked)[0]: False}}
        assert client.post("/v1/catalogue", json=new).status_code == 200
        assert list_of(ranked)[0] not in listed(client)
        assert not live.snapshot.engine.ranking.counted[FAILED]
        take("other")  # rolled back
        assert client.get("/health").json()["problem"] == ""
        assert list_of(ranked)[0] not in listed(client)
        assert "genrec_ranking_warnings_total{" not in client.get("/metrics").text
