"""The name of a deployment's flow run: what someone typed stays, what Prefect made up does not."""

from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID

import pytest
from prefect.utilities.names import generate_slug

from flows import naming
from genrec.config.load import load_config
from tests.e2e.conftest import ROOT


def test_a_name_of_the_servers_making_is_known():
    assert [name for name in (generate_slug(2) for _ in range(300)) if not naming.is_random(name)] == []


@pytest.mark.parametrize("name", ["gamma3-cygni", "alpha-canis-majoris-void", "nu64-sirius-ring", "eta2-goto"])
def test_a_name_that_the_form_is_filled_with_is_known(name):
    assert naming.is_random(name)


@pytest.mark.parametrize("name", ["spring-sale", "Spring sale", "demo-default-full-seed0", "alphabet-soup", "otter"])
def test_a_typed_name_is_no_random_one(name):
    assert not naming.is_random(name)


class _Client:
    def __init__(self) -> None:
        self.updates: list[dict] = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def update_flow_run(self, run, **update):
        self.updates.append(update)


def _name(monkeypatch, called: str) -> tuple[str, list[dict]]:
    started = datetime(2026, 11, 26, 3, 4, 5, tzinfo=UTC).astimezone()
    run = SimpleNamespace(id=UUID(int=0xABC), name=called, tags=["genrec"], start_time=started)
    client = _Client()
    monkeypatch.setattr(naming, "get_client", lambda sync_client: client)
    monkeypatch.setattr(naming, "FlowRunContext", SimpleNamespace(get=lambda: SimpleNamespace(flow_run=run)))
    config = load_config([ROOT / "conf" / "demo.yaml"], ["preset=quick"])
    return naming.name_flow_run(config, "default"), client.updates


def test_a_random_name_gives_way_to_the_scheme_and_the_run_is_tagged(monkeypatch):
    folder, updates = _name(monkeypatch, "brave-otter")
    assert updates == [{"name": "demo-default-quick-seed0", "tags": ["data:demo", "genrec", "recipe:default"]}]
    assert folder.partition("-")[2].partition("-")[2] == "demo-default-quick-seed0-000000"


def test_a_typed_name_is_kept_and_the_folder_is_called_after_it_in_every_attempt(monkeypatch):
    folder, updates = _name(monkeypatch, "Spring sale, try 2")
    assert updates[0]["name"] == "Spring sale, try 2"
    assert folder.endswith("-Spring-sale-try-2-000000")
    assert _name(monkeypatch, "Spring sale, try 2")[0] == folder
