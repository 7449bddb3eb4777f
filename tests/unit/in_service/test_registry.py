"""Which model is in service: promotion, history, going back."""

import json

import pytest

from genrec.errors import GenrecError
from genrec.in_service.registry import CURRENT, Refused, Registry, names
from genrec.store.local import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def _keys(store, *contents):
    """Keys of artifacts with these contents, by a stage's name each."""
    found = {}
    for stage, content in zip(("sid", "rl"), contents, strict=True):
        with store.scratch() as folder:
            (folder / "f.txt").write_text(content)
            more = {"version": 1, "config_slice": {}, "inputs": {}, "summary": {}, "seconds": 0.0}
            found[stage] = store.commit(f"{stage}-{content}", stage, folder, **more).key
    return found


def test_nothing_is_in_service_at_first(store):
    assert Registry(store, "shop").current() is None
    assert names(store) == []
    with pytest.raises(GenrecError, match="no model is in service under 'shop'"):
        Registry(store, "shop").roll_back()


def test_the_newest_promotion_is_in_service_and_the_history_stays(store):
    registry = Registry(store, "shop")
    for day in ("a", "b"):
        registry.promote(f"run-{day}", _keys(store, day, day), f"day {day}", {"new": 0.5})
    assert [r.run_id for r in registry.history()] == ["run-a", "run-b"]
    current = registry.current()
    assert (current.number, current.run_id, current.keys["rl"]) == (2, "run-b", "rl-b")
    assert json.loads((store.root / "service" / "shop" / CURRENT).read_text())["run_id"] == "run-b"
    assert Registry(store, "other").current() is None
    assert names(store) == ["shop"]


def test_rolling_back_twice_goes_back_two_models_and_a_promotion_after_it_counts(store):
    registry = Registry(store, "shop")
    for day in "abc":
        registry.promote(f"run-{day}", _keys(store, day, day), "")
    assert registry.roll_back().run_id == "run-b"
    assert registry.roll_back().run_id == "run-a"
    with pytest.raises(GenrecError, match="nothing to go back to; the history has the changes 1, 2, 3, 4, 5"):
        registry.roll_back()
    registry.promote("run-d", _keys(store, "d", "d"), "")
    assert registry.roll_back().run_id == "run-a"
    assert registry.roll_back(to=3).run_id == "run-c"
    assert [r.action for r in registry.history()].count("roll_back") == 4


def _refreshed(store, key, content):
    with store.scratch() as folder:
        (folder / "f.txt").write_text(content)
        more = {"version": 1, "config_slice": {}, "inputs": {}, "summary": {}, "seconds": 0.0}
        return store.commit(key, key.partition("-")[0], folder, **more, replace=True)


def test_what_is_in_service_stays_the_generation_that_was_promoted_also_after_going_back(store):
    registry = Registry(store, "shop")
    registry.promote("run-a", _keys(store, "a", "a"), "")
    _refreshed(store, "rl-a", "refreshed")
    store.release()
    assert store.remove_old_generations() == 0
    for record in (registry.current(), registry.promote("run-b", _keys(store, "b", "b"), ""), registry.roll_back()):
        folder = registry.artifact(record, "rl").path
        assert folder == store.object_path(record.keys["rl"], record.digests["rl"])
        assert (folder / "f.txt").read_text() == record.keys["rl"][-1]
    assert (store.lookup("rl-a").path / "f.txt").read_text() == "refreshed"


def test_the_run_s_own_generation_is_promoted_and_the_current_one_where_that_is_gone(store):
    registry = Registry(store, "shop")
    keys = _keys(store, "a", "a")
    old = store.lookup("rl-a")
    new = _refreshed(store, "rl-a", "refreshed")
    assert registry.promote("run-a", keys, "", digests={"rl": old.digest}).digests["rl"] == old.digest
    (old.path / "f.txt").write_text("damaged")
    assert registry.roll_back(to=1).digests["rl"] == new.digest


def test_a_record_without_digests_is_read_and_leads_to_what_is_stored_under_its_keys(store):
    registry = Registry(store, "shop")
    registry.promote("run-a", _keys(store, "a", "a"), "")
    path = store.root / "service" / "shop" / "000001.json"
    record = json.loads(path.read_text())
    del record["digests"]
    path.write_text(json.dumps(record))
    assert registry.artifact(registry.current(), "rl") == store.lookup("rl-a")


def test_a_model_with_a_damaged_artifact_is_not_put_in_service(store):
    registry = Registry(store, "shop")
    registry.promote("run-a", _keys(store, "a", "a"), "")
    keys = _keys(store, "b", "b")
    (store.object_path("rl-b") / "f.txt").write_text("tampered")
    with pytest.raises(GenrecError, match=r"the artifact of rl \(rl-b\) is not whole"):
        registry.promote("run-b", keys, "")
    assert registry.current().run_id == "run-a"


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "x" * 61])
def test_a_name_that_is_no_name_is_refused(store, name):
    with pytest.raises(GenrecError, match="no name of a model in service"):
        Registry(store, name)


def _of_data(store, run, source):
    """A model of an ingest artifact alone: {stage: key}."""
    with store.scratch() as folder:
        (folder / "f.txt").write_text(run)
        more = {"version": 1, "config_slice": {"source": source}, "inputs": {}, "summary": {}, "seconds": 0.0}
        return {"ingest": store.commit(f"ingest-{run}", "ingest", folder, **more).key}


def test_generated_data_goes_into_service_where_nothing_else_ever_was(tmp_path):
    store = Store(tmp_path)
    demo, again, shop = (_of_data(store, r, s) for r, s in (("a", "synthetic"), ("b", "synthetic"), ("c", "table")))
    registry = Registry(store, "demo")
    registry.promote("a", demo, "")
    registry.promote("b", again, "")
    assert registry.roll_back().run_id == "a"
    Registry(store, "shop").promote("c", shop, "")
    for change in (lambda: registry.promote("b", again, ""), lambda: registry.roll_back(2)):
        with pytest.raises(Refused, match=r"b was trained on generated data .* \(shop: c\); .* --store"):
            change()
    with pytest.raises(Refused):
        Registry(store, "shop").promote("a", demo, "")
    assert [r.run_id for r in registry.history()] == ["a", "b", "a"]
    assert [r.run_id for r in Registry(store, "shop").history()] == ["c"]


def test_a_model_of_unknown_data_keeps_generated_data_out(tmp_path):
    store = Store(tmp_path)
    demo, other = _of_data(store, "a", "synthetic"), _of_data(store, "b", "a source of before")
    Registry(store, "other").promote("b", other, "")
    with pytest.raises(Refused):
        Registry(store, "demo").promote("a", demo, "")
