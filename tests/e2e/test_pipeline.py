"""The whole pipeline on a tiny shop: reports, caching, recomputation, failures."""

import json
import re

import pyarrow.parquet as pq
import pytest

from genrec import Recommender
from genrec.errors import GenrecError
from genrec.measure.rows import read_rows
from genrec.measure.score_parts import PART_OF
from genrec.serve import bundle
from genrec.serve.query import Query
from tests.e2e.conftest import run_flow, tiny_config
from tests.support.pages import outside_addresses
from tests.support.stages import ALWAYS

pytestmark = pytest.mark.usefixtures("first_report")


SLOW_TO_FIT = ("sasrec", "mind", "item2vec", "item2vec_side", "als")


def _status(report):
    return {s["name"]: s["status"] for s in report["stages"]}


def test_every_stage_is_computed_and_reported(first_report, store):
    assert _status(first_report) == dict.fromkeys(ALWAYS, "computed")
    folder = store / "runs" / "first"
    on_disk = json.loads((folder / "report.json").read_text())
    assert on_disk == json.loads(json.dumps(first_report))


def test_the_report_is_one_page_that_loads_and_runs_nothing(first_report, store):
    html = (store / "runs" / "first" / "report.html").read_text()
    assert html.count("<svg") >= 4
    assert outside_addresses(html) == []
    assert "<script" not in html


@pytest.mark.parametrize(
    "html",
    [
        '<img src="http://host/a.png">',
        '<img src="a.png">',
        '<script src="//host/a.js"></script>',
        '<style>@import "a.css";</style>',
        "<p style=\"background: url('a.png')\">",
        '<svg><use xlink:href="https://host/a.svg#b"/></svg>',
    ],
)
def test_an_address_outside_a_page_is_found(html):
    inside = '<a href="#top">x</a><img src="data:image/png;base64,AA"><svg clip-path="url(#c)" xmlns="http://www.w3.org/2000/svg">'
    assert outside_addresses(inside) == []
    assert len(outside_addresses(inside + html)) == 1


def test_models_and_baselines_stand_side_by_side_with_intervals_and_no_invalid_output(first_report):
    metrics = first_report["metrics"]
    assert {"sft", "rl", "popularity", "itemcf"} <= metrics.keys()
    for model, figures in metrics.items():
        for k in (5, 10, 20):
            for name in (f"hr@{k}", f"ndcg@{k}"):
                low, high = figures[f"{name}_ci"]
                assert 0 <= low <= figures[name] <= high <= 1
                assert model in PART_OF or name in figures["seen_kept"]
        assert figures["hr@5"] <= figures["hr@10"] <= figures["hr@20"]
    assert {"sft_ids", "sft_dense", "sft_transitions"} & metrics.keys(), "the parts of the score, each alone"
    assert sum(first_report["score"]["sft"].values()) == pytest.approx(1)
    assert (first_report["identical"] == {"rl": "sft"}) != first_report["training"]["rl"]["improved"]
    invalid = first_report["decode"]["invalid"]
    assert (invalid if isinstance(invalid, int) else sum(invalid.values())) == 0


def test_malformed_rows_are_counted_by_reason(first_report):
    assert sum(first_report["data"]["quarantined"].values()) > 0


def test_semantic_ids_are_unique(first_report, store):
    assert first_report["sid"]["collision_rate"] == 0
    path = next((store / "objects").glob("sid-*/sids.parquet"))
    sids = [tuple(s) for s in pq.read_table(path)["sid"].to_pylist()]
    assert len(set(sids)) == len(sids) == first_report["data"]["items"]


def test_a_second_run_is_cached_and_never_starts_ray(store, monkeypatch):
    def no_ray(resources):
        raise AssertionError("Ray was started")

    monkeypatch.setattr("tasks.ray.cluster.connect", no_ray)
    report = run_flow(tiny_config(store), "second")
    assert _status(report) == dict.fromkeys(ALWAYS, "cached")
    assert (store / "runs" / "latest").resolve() == (store / "runs" / "second").resolve()


def test_prefect_shows_cached_stages_as_cached(store):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName

    run_flow(tiny_config(store), "shown")
    with get_client(sync_client=True) as client:
        named = FlowRunFilter(name=FlowRunFilterName(any_=["shown"]))
        runs = client.read_flow_runs(flow_run_filter=named)
        tasks = client.read_task_runs(flow_run_filter=named)
    assert [r.state.name for r in runs] == ["Completed"]
    assert {t.name: t.state.name for t in tasks if t.name in ALWAYS} == dict.fromkeys(ALWAYS, "Cached")


def test_a_changed_setting_recomputes_its_stage_and_those_after(store):
    report = run_flow(tiny_config(store, "rl.kl_coef=0.5"), "changed")
    assert [n for n, s in _status(report).items() if s == "computed"] == ["rl", "evaluate"]
    # The nearest of the runs in the store is named: other tests leave runs with values of their own there.
    assert re.fullmatch(r"kl_coef changed from 0\.\d+ to 0\.5", report["stages"][ALWAYS.index("rl")]["reason"])


def test_until_stops_after_a_stage_and_reports_what_there_is(store):
    report = run_flow(tiny_config(store), "short", until="sid")
    assert [s["name"] for s in report["stages"]] == ["ingest", "prepare", "embed", "sid"]
    assert "sid" in report
    assert not report.get("metrics")


@pytest.mark.parametrize("broken", ["prepare", "sid", "evaluate"])
def test_a_run_that_failed_goes_on_at_the_failed_stage(store, tmp_path, monkeypatch, broken):
    import importlib

    stage = getattr(importlib.import_module(f"tasks.stages.{broken}"), broken)
    config = tiny_config(
        store, {"prepare": "prepare.max_history=19", "sid": "seed=5", "evaluate": "evaluate.head_share=0.3"}[broken]
    )
    works = stage.function

    def fails(job, **inputs):
        raise GenrecError("the disk is full")

    monkeypatch.setattr(stage, "function", fails)
    with pytest.raises(GenrecError, match="the disk is full"):
        run_flow(config, f"failed-{broken}", until=broken)
    monkeypatch.setattr(stage, "function", works)
    status = _status(run_flow(config, f"repaired-{broken}", until=broken))
    assert status.pop(broken) == "computed"
    assert set(status.values()) <= {"cached"}


def test_two_configs_are_compared_in_one_table(store):
    from flows.compare import compare

    configs = [tiny_config(store), tiny_config(store, "rl.kl_coef=0.6", "name=other")]
    result = compare(configs=[c.model_dump(mode="json") for c in configs], run_id="both")
    text = json.dumps(result["rows"])
    assert "demo" in text
    assert "other" in text
    assert (store / "runs" / "both" / "comparison.html").is_file()


def test_ranking_adds_its_stage_and_rows_leaves_the_rest_cached_and_orders_what_is_served(store, tmp_path):
    few = [
        f"rank.channels.{name}={count}" for name, count in {**dict.fromkeys(SLOW_TO_FIT, 0), "generator": 20}.items()
    ]
    served = ["rank.require_gain=false", "service.rank=true"]
    report = run_flow(tiny_config(store, "rank.enabled=true", "rank.num_folds=2", *few, *served), "ranked")
    assert [n for n, s in _status(report).items() if s == "computed"] == ["rank", "evaluate"]
    assert report["ranking"]["retrieval"]["channels"].keys() >= {"generator", "itemcf", "popularity"}
    compared = {(pair["model"], pair["against"]) for pair in report["comparisons"]}
    assert {("rank", "sft"), ("rank", "itemcf")} <= compared
    assert '<h2 id="ranking">' in (store / "runs" / "ranked" / "report.html").read_text()
    _check_ranked_lists(store, tmp_path)


def _check_ranked_lists(store, folder):
    """From the store and from an export the same ones; and not those of the generator."""
    loaded = Recommender.load(store, run="ranked", device="cpu")
    assert loaded.files.where.endswith(", ranked")
    bundle.write(loaded.files, folder / "model")
    ids = loaded.engine.catalogue.item_ids
    histories = read_rows(loaded.files.catalogue.parent, "test").histories
    queries = [Query([ids[item] for item in history], 5) for history in histories]
    listed = loaded.engine.answer(queries)
    assert Recommender.load(folder / "model", device="cpu").engine.answer(queries) == listed
    assert Recommender.load(store, run="ranked", device="cpu", rank=False).engine.answer(queries) != listed
