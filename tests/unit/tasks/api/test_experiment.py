"""Two models on the users of an endpoint: who gets which list, and what is noted as shown."""

import pytest

from genrec.serve.experiment import CANDIDATE, CONTROL, INTERLEAVED, Experiment, ImpressionLog
from genrec.serve.experiment.days import read_impressions
from genrec.serve.query import Query
from tasks.api.service import Trial
from tests.support.api_tiny import Shelf, api_client, api_engine, api_service

USERS = [f"user-{n}" for n in range(40)]


def candidate() -> Shelf:
    source = Shelf()
    source.engines = {0: api_engine("model-b", seed=1)}
    return source


def lists_of(history: list[str]) -> dict[str, list[str]]:
    found = {CONTROL: api_engine(), CANDIDATE: api_engine("model-b", seed=1)}
    return {arm: [i.item_id for i in e.answer([Query(history, 5)])[0].items] for arm, e in found.items()}


@pytest.mark.parametrize("mode", ["split", "interleave"])
def test_each_user_gets_the_list_of_the_users_arm_and_it_is_noted(tmp_path, mode):
    experiment = Experiment("try", "latest", 0.5, mode)
    trial = Trial(experiment, ImpressionLog.open(tmp_path, experiment))
    history = ["i1", "i2"]
    expected = lists_of(history)
    assert expected[CONTROL] != expected[CANDIDATE]
    shown = {}
    with api_client(api_service(tmp_path, beside=candidate(), trial=trial)) as client:
        for user in USERS:
            answer = client.post("/v1/recommend", json={"user_id": user, "history": history, "k": 5}).json()
            assert "items" in answer, answer
            ids, arm = [i["item_id"] for i in answer["items"]], experiment.assign(user)
            shown[answer["request_id"]] = (user, arm, ids, answer.get("teams"), answer["model_key"])
            if arm == INTERLEAVED:
                assert set(ids) <= {*expected[CONTROL], *expected[CANDIDATE]}
                assert abs(answer["teams"].count(CONTROL) - answer["teams"].count(CANDIDATE)) <= 1
                assert answer["model_key"] == "model-a+model-b"
            else:
                assert ids == expected[arm]
                assert answer["model_key"] == {CONTROL: "model-a", CANDIDATE: "model-b"}[arm]
        nobody = client.post("/v1/recommend", json={"history": history, "k": 5}).json()
        assert [i["item_id"] for i in nobody["items"]] == expected[CONTROL]
    assert len({arm for _, arm, *_ in shown.values()}) == 2
    rows = read_impressions(tmp_path / "experiments" / "try").to_pylist()
    assert {row["request_id"] for row in rows} == shown.keys()
    for row in rows:
        assert (row["user_id"], row["arm"], row["items"], row["teams"], row["model_key"]) == shown[row["request_id"]]


def test_clients_who_name_their_requests_do_not_choose_the_coins_of_interleaved_lists(tmp_path):
    experiment = Experiment("try", "latest", 1.0, "interleave")
    firsts = set()
    for attempt in range(12):
        root = tmp_path / str(attempt)
        trial = Trial(experiment, ImpressionLog.open(root, experiment))
        with api_client(api_service(root, beside=candidate(), trial=trial)) as client:
            body = {"user_id": "user-1", "history": ["i1", "i2"], "k": 5}
            answer = client.post("/v1/recommend", json=body, headers={"X-Request-Id": "mine"}).json()
            firsts.add(answer["teams"][0])
    assert firsts == {CONTROL, CANDIDATE}


def test_a_request_may_ask_for_the_model_beside_and_for_no_other(tmp_path):
    body = {"history": ["i1"], "k": 5}
    with api_client(api_service(tmp_path, beside=candidate())) as client:
        assert client.post("/v1/recommend", json=body).json()["model_key"] == "model-a"
        assert client.post("/v1/recommend", json={**body, "model": "beside"}).json()["model_key"] == "model-b"
        refused = client.post("/v1/recommend", json={**body, "model": "another"})
        assert (refused.status_code, "service and beside" in refused.json()["detail"]) == (422, True)
