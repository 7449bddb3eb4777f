"""A finished run of the tiny shop that the end-to-end tests share."""

import sys
from pathlib import Path

import pytest

from genrec.config import Config
from genrec.config.load import load_config

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "tiny.yaml"
SHOP = ["data.options.num_users=300", "data.options.num_items=80"]


def tiny_config(store: Path, *overrides: str, base: str = "demo.yaml") -> Config:
    shop = SHOP if base == "demo.yaml" else []
    return load_config([ROOT / "conf" / base, TINY], [*shop, f"store={store}", *overrides])


def tiny_command(store: Path, *arguments: str) -> list[str]:
    """The command line of a run of the tiny shop in a process of its own."""
    shop = [part for override in SHOP for part in ("--set", override)]
    return [sys.executable, "-m", "flows", "run", "--config", "conf/demo.yaml", "--config", str(TINY), *shop,
            "--store", str(store), *arguments]  # fmt: skip


def run_flow(config: Config, run_id: str, **arguments):
    from flows.retrain import retrain

    return retrain(config=config.model_dump(mode="json"), run_id=run_id, **arguments)


@pytest.fixture(scope="session")
def _first_run(tmp_path_factory, prefect_server, ray_cluster):
    """The first run of a fresh store, whichever test asks for it: (the store, the run's report)."""
    store = tmp_path_factory.mktemp("store")
    return store, run_flow(tiny_config(store), "first")


@pytest.fixture(scope="session")
def store(_first_run) -> Path:
    """The store that the end-to-end tests share; it holds the finished run `first`."""
    return _first_run[0]


@pytest.fixture(scope="session")
def first_report(_first_run):
    """report.json of the run `first`, which computed every stage."""
    return _first_run[1]


@pytest.fixture(scope="module")
def served(store):
    """`make serve` on the store with the finished tiny run, so that runs of the same settings are cached."""
    from tests.support.served import Served

    up = Served(store)
    yield up
    up.stop()
