"""Shared by all tests: one Prefect server and one Ray a session, and where real data may lie."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest

ROOT = Path(__file__).parents[1]


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """For runs in several processes (`--dist loadgroup`): a file stays together, and so do all that share a Prefect server
    or a Ray of their session.
    """
    for item in items:
        shared = {"prefect_server", "ray_cluster"} & set(item.fixturenames)
        item.add_marker(pytest.mark.xdist_group("cluster" if shared else item.path.name))


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory):
    """A Prefect API for flows run inside the test process."""
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=400):
        yield


@pytest.fixture(scope="session")
def ray_cluster():
    """Ray with two cores on this machine; `disconnect` leaves it alone."""
    import ray

    from tasks.ray.cluster import connect, disconnect

    connect(_resources())
    disconnect_only_if_started = ray.is_initialized()
    import tasks.ray.cluster

    tasks.ray.cluster._started_here = False
    yield disconnect_only_if_started
    tasks.ray.cluster._started_here = True
    disconnect()


def _resources():
    from genrec.config import ResourcesConfig

    return ResourcesConfig(num_cpus=2)


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real review sets beside the checkout; tests that need it skip where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder.name}/ beside the checkout")
    return folder
