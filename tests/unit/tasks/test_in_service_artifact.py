"""The model in service in the Prefect UI: what the artifact says, and when a new version of it is due."""

from types import SimpleNamespace

import pytest

from genrec.in_service.registry import Registry
from genrec.store.local import Store
from tasks import in_service_artifact
from tasks.in_service_artifact import bring_up_to_date, key_of, publish


@pytest.fixture
def shown(monkeypatch):
    """The artifacts of a server: key -> its newest version."""
    artifacts = {}
    monkeypatch.setattr(
        in_service_artifact,
        "create_markdown_artifact",
        lambda text, key, description: artifacts.update({key: SimpleNamespace(data=text, description=description)}),
    )
    monkeypatch.setattr(in_service_artifact.Artifact, "get", artifacts.get)
    return artifacts


def _model(store, run):
    with store.scratch() as folder:
        (folder / "f.txt").write_text(run)
        more = {"version": 1, "config_slice": {}, "inputs": {}, "summary": {}, "seconds": 0.0}
        return {"sid": store.commit(f"sid-{run}", "sid", folder, **more).key}


def test_the_artifact_says_what_is_in_service_why_and_what_was_before(tmp_path, shown):
    registry = Registry(Store(tmp_path), "My.Shop_1")
    registry.promote("monday", _model(registry.store, "monday"), "no model | was in service")
    registry.promote("tuesday", _model(registry.store, "tuesday"), "ahead")
    publish(registry)
    (key,) = shown
    assert key == key_of("My.Shop_1") == "in-service-my-shop-1"
    text = shown[key].data
    assert text.startswith("# My.Shop_1: `tuesday` is in service")
    assert "(change 2): ahead." in text
    rows = [line for line in text.splitlines() if line.startswith("| ") and "`" in line]
    assert [row.split("`")[1] for row in rows] == ["tuesday", "monday"]
    assert all(row.count("|") == 6 for row in rows)


def test_a_change_that_was_made_while_no_server_was_up_is_shown_later_and_once(tmp_path, shown, monkeypatch):
    store = Store(tmp_path)
    registry = Registry(store, "shop")
    bring_up_to_date(store)
    assert shown == {}
    registry.promote("monday", _model(store, "monday"), "")
    bring_up_to_date(store)
    assert "`monday` is in service" in shown["in-service-shop"].data
    monkeypatch.setattr(in_service_artifact, "publish", lambda registry: pytest.fail("shown already"))
    bring_up_to_date(store)


def test_a_server_that_does_not_answer_costs_no_change(tmp_path, monkeypatch, caplog):
    def refused(*arguments, **more):
        raise ConnectionError

    monkeypatch.setattr(in_service_artifact, "create_markdown_artifact", refused)
    registry = Registry(Store(tmp_path), "shop")
    registry.promote("monday", _model(registry.store, "monday"), "")
    publish(registry)
    assert "not shown" in caplog.text


def test_a_damaged_record_costs_no_serve(tmp_path, shown, caplog):
    registry = Registry(Store(tmp_path), "shop")
    registry.promote("monday", _model(registry.store, "monday"), "")
    (tmp_path / "service" / "shop" / "000001.json").write_text("{")
    bring_up_to_date(registry.store)
    assert shown == {}
    assert "not a record of a model in service" in caplog.text
