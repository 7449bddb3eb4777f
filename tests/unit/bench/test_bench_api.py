import subprocess
import sys

import numpy as np
import pytest

from tests.bench import api_model, bench_api
from tests.bench.api_peer import UsualWay
from tests.bench.api_servers import Memory, Server, slope_a_minute


@pytest.fixture(scope="module")
def recommender(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "export"
    api_model.export(None, folder, 60)
    return api_model.load(folder)


def test_the_random_model_has_everything_a_score_is_made_of_and_answers(recommender):
    policy = recommender.engine.policy
    assert policy.dense_weight
    assert policy.items.transitions is not None
    listed = recommender.recommend(recommender.engine.catalogue.item_ids[:3], k=7)
    assert len({item.item_id for item in listed}) == 7


def test_the_usual_way_lists_different_items_of_the_catalogue(recommender):
    ids = recommender.engine.catalogue.item_ids
    listed = UsualWay(recommender).recommend(ids[:4], 10)
    assert len({item["item_id"] for item in listed} & set(ids)) == 10


def test_random_histories_have_the_lengths_of_the_demo_shop():
    lengths = np.array([len(history) for history in api_model.random_histories(50, 4000)])
    assert lengths.min() == 4
    assert lengths.max() <= 39
    assert lengths.mean() == pytest.approx(8.5, rel=0.05)


def test_figures_of_prometheus_are_added_up_over_labels():
    page = '# HELP a_total b\na_total{status="200"} 3.0\na_total{status="503"} 2.0\nsize_sum 1.5e+02\n'
    assert bench_api.figures(page) == {"a_total": 5.0, "size_sum": 150.0}


def test_the_slope_of_memory_is_that_of_the_second_half():
    seconds = list(range(100))
    assert slope_a_minute(seconds, [500.0 + max(0, s - 50) for s in seconds]) == pytest.approx(60, rel=0.01)
    assert slope_a_minute(seconds, [float(min(s, 40)) for s in seconds]) == pytest.approx(0, abs=1e-9)


def test_memory_of_a_process_and_of_what_it_started_is_seen_while_the_block_runs():
    """An own process: what other tests of this one have started (Ray, a Prefect server) would count."""
    child = "x = b'1' * (64 << 20); print(flush=True); input()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with Memory(Server(process.pid, 0), every_s=0.001) as memory:
            while len(memory.mib) < 3:
                pass
        process.stdin.close()
    assert 64 < memory.mib[0] < 150
    assert memory.seconds == sorted(memory.seconds)
