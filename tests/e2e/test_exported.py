"""A finished run behind the engine: the lists of its evaluation, from the store and from an exported folder."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from genrec import Recommender
from genrec.measure.predictions import read_predictions
from genrec.measure.rows import read_rows
from genrec.serve import bundle
from genrec.serve.new_items import NewItem
from genrec.serve.query import Query
from tests.support import serve_tiny
from tests.support.bare_site import bare_site, run_bare
from tests.support.lm_tiny import tiny_policy

pytestmark = pytest.mark.slow
PACKAGES = ["torch", "transformers", "peft", "numpy", "pyarrow"]


@pytest.fixture(scope="module")
def exported(store, tmp_path_factory) -> Path:
    from flows.__main__ import app

    folder = tmp_path_factory.mktemp("exported") / "model"
    done = CliRunner().invoke(app, ["export", "first", str(folder), "--store", str(store)])
    assert done.exit_code == 0, done.output
    assert str(folder) in done.output.replace("\n", "")
    return folder


@pytest.mark.parametrize("seen_items", ["drop", "keep"])
def test_the_engine_gives_the_lists_of_the_evaluation(store, exported, first_report, seen_items):
    loaded = Recommender.load(exported, device="cpu")
    keys = {stage["name"]: store / "objects" / stage["key"] for stage in first_report["stages"]}
    histories = read_rows(keys["prepare"], "test").histories
    expected = read_predictions(keys["evaluate"], "rl", seen_items, ["items", "scores"])
    ids, width = loaded.engine.catalogue.item_ids, loaded.engine.beam_width
    queries = [Query([ids[i] for i in history], width, keep_seen=seen_items == "keep") for history in histories]
    answers = loaded.engine.answer(queries)
    for answer, items, scores in zip(answers, *(column.to_pylist() for column in expected.columns), strict=True):
        assert [item.item_id for item in answer.items] == [ids[i] for i in items]
        np.testing.assert_allclose([item.score for item in answer.items], scores, atol=1e-5)
    assert len(answers) > 100


def test_an_exported_model_says_what_its_run_measured(exported, first_report):
    card = (exported / "README.md").read_text()
    figures = first_report["metrics"]["rl"]
    k = first_report["protocol"]["headline_k"]
    low, high = figures[f"ndcg@{k}_ci"]
    assert f"{figures[f'ndcg@{k}']:.4f} ({low:.4f} to {high:.4f})" in card
    assert f"{first_report['data']['items']} items" in card
    assert json.loads((exported / "report.json").read_text()) == first_report


def test_a_new_item_of_a_trained_model_comes_out_under_an_id_of_its_own(exported):
    loaded = Recommender.load(exported, device="cpu")
    catalogue = loaded.engine.catalogue
    twin = NewItem("twin", catalogue.titles[7], catalogue.brands[7], catalogue.categories[7])
    grown = loaded.engine.with_catalogue(catalogue.with_items([twin], loaded.new_ids))
    listed = grown.answer([Query([catalogue.item_ids[7]], k=len(catalogue) + 1)])[0].items
    assert {item.item_id for item in listed} == {*catalogue.item_ids, "twin"} - {catalogue.item_ids[7]}
    assert len({item.sid for item in listed}) == len(listed)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    return bare_site(tmp_path_factory.mktemp("bare") / "site", PACKAGES)


@pytest.mark.parametrize("mode", ["lora", "ptuning_v2"])
def test_an_adapter_loads_there_too(site, tmp_path, mode):
    files = serve_tiny.write_files(tmp_path / "artifacts", tiny_policy(mode=mode))
    tiny_policy().save(tmp_path / "base")
    bundle.write(serve_tiny.with_base(files, tmp_path / "base"), tmp_path / "export")
    load = f"""Recommender.load({str(tmp_path / "export")!r}, device="cpu").recommend(["i3", "i8"], k=5)"""
    done = run_bare(site, f"from genrec import Recommender\nprint([item.item_id for item in {load}])")
    assert done.returncode == 0, done.stderr
    expected = Recommender.load(tmp_path / "export", device="cpu").recommend(["i3", "i8"], k=5)
    assert done.stdout.strip() == str([item.item_id for item in expected])


def test_it_loads_where_only_torch_transformers_peft_numpy_and_pyarrow_are(exported, site):
    code = f"""
import importlib.util
for absent in ("sklearn", "scipy", "pandas", "polars", "ray", "prefect", "faiss"):
    assert importlib.util.find_spec(absent) is None, absent
from genrec import Recommender
from genrec.serve import bundle
from genrec.serve.new_items import NewItem
loaded = Recommender.load({str(exported)!r}, device="cpu")
print([item.item_id for item in loaded.recommend(loaded.engine.catalogue.item_ids[:3], k=5)])
try:
    loaded.new_ids.give([NewItem("new", "lamp")], loaded.engine.catalogue.sids)
except Exception as error:
    print(error)
"""
    done = run_bare(site, code)
    assert done.returncode == 0, done.stderr
    listed, message = done.stdout.splitlines()
    here = Recommender.load(exported, device="cpu")
    expected = here.recommend(here.engine.catalogue.item_ids[:3], k=5)
    assert listed == str([item.item_id for item in expected])
    assert "the encoder lsa needs the package sklearn, which is not installed here" in message
