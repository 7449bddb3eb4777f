"""Promises of the Recommender: the model that was meant is loaded, or the message says what there is; README's lines run."""

import contextlib
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import genrec
from genrec import Filter, Recommender
from genrec.errors import DataError, GenrecError
from genrec.in_service.registry import Registry
from genrec.serve.model_files import in_store
from genrec.store.local import Store
from tests.support import serve_tiny
from tests.support.serve_tiny import ITEM_IDS, NUM_ITEMS

ROOT = Path(__file__).parents[3]
HISTORY = ITEM_IDS[:3]


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A store with two runs, none in service."""
    return serve_tiny.write_store(tmp_path_factory.mktemp("plain") / ".genrec", "run-one", "run-two").root


@pytest.fixture
def store(plain, tmp_path) -> Store:
    return Store(shutil.copytree(plain, tmp_path / ".genrec", symlinks=True))


def promote(store: Store, run: str, name: str, **more: str) -> None:
    number = {"run-one": 0, "run-two": 1}[run]
    keys = {
        stage: f"{stage}-{number if stage in ('base', 'sft') else 0}"
        for stage in ("prepare", "embed", "sid", "base", "sft")
    }
    Registry(store, name).promote(run, keys | more, "by hand")


def load(path, **which) -> Recommender:
    return Recommender.load(path, device="cpu", **which)


def test_a_store_gives_the_model_in_service_else_the_latest_run(store):
    assert load(store.root).files.where == "run run-two, the latest; nothing is in service"
    promote(store, "run-one", "tiny")
    loaded = load(str(store.root))
    assert (loaded.files.where, loaded.engine.model_key) == ("run-one, in service as tiny", "sft-0")
    assert load(store.root, run="run-two").engine.model_key == "sft-1"
    assert load(store.root, run="latest").engine.model_key == "sft-1"
    assert load(store.root / "runs" / "run-one").engine.model_key == "sft-0"
    assert load(store.root / "runs" / "latest").engine.model_key == "sft-1"
    assert loaded.engine.beam_width == 6  # of the evaluation


def test_a_run_that_was_stopped_early_hides_no_model(store):
    serve_tiny.stop_early(store, "run-three")
    loaded = load(store.root)
    assert loaded.files.where == "run run-two, the latest with a model; nothing is in service"
    assert loaded.engine.model_key == "sft-1"
    with pytest.raises(GenrecError, match="run run-three: stopped before the stage embed"):
        load(store.root, run="latest")


def test_of_several_models_in_service_one_is_named(store):
    promote(store, "run-one", "tiny")
    promote(store, "run-two", "other")
    with pytest.raises(GenrecError, match="several models are in service, other, tiny; give the name of one"):
        load(store.root)
    assert load(store.root, name="other").engine.model_key == "sft-1"
    assert load(store.root, run="tiny").engine.model_key == "sft-0"
    with pytest.raises(GenrecError, match="no model is in service under 'third'; there are other, tiny"):
        load(store.root, name="third")


def test_a_model_in_service_loads_without_the_report_of_its_run(store):
    promote(store, "run-one", "tiny")
    (store.root / "runs" / "run-one" / "report.json").unlink()
    loaded = load(store.root)
    assert loaded.engine.model_key == "sft-0"
    assert loaded.files.encoder["method"] == "lsa"


@pytest.mark.parametrize("rank", [None, False])
def test_a_model_whose_report_is_gone_says_that_its_ranking_is_off_for_that(store, rank):
    promote(store, "run-one", "tiny", rank="sft-0")  # any whole artifact does
    assert "report.json" not in in_store(store, rank=rank).where
    (store.root / "runs" / "run-one" / "report.json").unlink()
    found = in_store(store, rank=rank)
    assert found.ranking is None
    assert ("report.json" in found.where) is (rank is None)


def test_what_is_not_there_is_said_with_what_is(store, tmp_path):
    with pytest.raises(DataError, match=r"nowhere: neither a store.* there is no such folder.*flows export"):
        load(tmp_path / "nowhere")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(DataError, match=r"it holds \['notes.txt'\]"):
        load(tmp_path / "other")
    with pytest.raises(GenrecError, match=r"run-three.*finished runs: run-one, run-two"):
        load(store.root, run="run-three")
    with pytest.raises(DataError, match="the folder of one run"):
        load(store.root / "runs" / "run-one", run="run-two")
    with pytest.raises(GenrecError, match="there is no finished run"):
        load(Store(tmp_path / "empty").root)


def test_a_damaged_artifact_is_named(store):
    path = store.object_path("sft-1") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(GenrecError, match=r"run run-two: the artifact of sft \(sft-1\) is missing or damaged"):
        load(store.root)


def test_one_history_gives_a_list_and_many_give_lists(plain):
    loaded = load(plain)
    one = loaded.recommend(HISTORY, k=4)
    assert len(one) == 4
    assert loaded.recommend([HISTORY, []], k=4)[0] == one
    assert loaded.recommend((HISTORY,), k=4) == [one]
    assert [len(items) for items in loaded.recommend([HISTORY, [], ["new"]])] == [10, 10, 10]
    assert len(loaded.recommend([], k=NUM_ITEMS + 1)) == NUM_ITEMS
    allowed = loaded.recommend(HISTORY, allow=[ITEM_IDS[1], ITEM_IDS[7], ITEM_IDS[9]], exclude=[ITEM_IDS[9]])
    assert [item.item_id for item in allowed] == [ITEM_IDS[7]]
    kept = loaded.recommend(HISTORY, allow=Filter(items=HISTORY), keep_seen=True)
    assert {item.item_id for item in kept} == set(HISTORY)
    with pytest.raises(DataError, match="history: 'B0000001' is one text"):
        loaded.recommend("B0000001")
    with pytest.raises(DataError, match="history: 'B0000001' is one text"):
        loaded.recommend([HISTORY, "B0000001"])


def test_histories_may_be_arrays(plain):
    loaded = load(plain)
    one = loaded.recommend(HISTORY, k=4)
    for column in (np.array(HISTORY), pl.Series(HISTORY), pa.array(HISTORY)):
        assert loaded.recommend(column, k=4) == one
    assert loaded.recommend([np.array(HISTORY)], k=4) == loaded.recommend(np.array([HISTORY]), k=4) == [one]


@pytest.mark.parametrize("page", ["README.md", "docs/serving.md"])
def test_the_lines_of_the_pages_run_as_they_stand(page, store, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    monkeypatch.chdir(store.root.parent)  # where the store is `.genrec`
    printed, names = io.StringIO(), {}  # type: ignore[var-annotated]
    with contextlib.redirect_stdout(printed):
        for block in blocks:
            exec(compile(block, page, "exec"), names)
    assert ITEM_IDS[0] not in printed.getvalue()
    assert re.search(r"B00000\d\d .*(hose|lamp|cup|chair)", printed.getvalue())


def test_importing_genrec_waits_for_nothing():
    code = "import sys, genrec; sys.exit(str({'torch', 'numpy', 'pydantic'} & set(sys.modules) or ''))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
    with pytest.raises(AttributeError, match="no attribute 'Recomender'"):
        _ = genrec.Recomender
