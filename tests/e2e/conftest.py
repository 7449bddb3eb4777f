"""A finished run of the tiny shop that the end-to-end tests share."""

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


def run_flow(config: Config, run_id: str, **arguments):
    from flows.retrain import retrain

    return retrain(config=config.model_dump(mode="json"), run_id=run_id, **arguments)


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def first_report(store, prefect_server, ray_cluster):
    return run_flow(tiny_config(store), "first")


@pytest.fixture(scope="module")
def served(store, first_report):
    """`make serve` on the store with the finished tiny run, so that runs of the same settings are cached."""
    from tests.support.served import Served

    up = Served(store)
    yield up
    up.stop()
