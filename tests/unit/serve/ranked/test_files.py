"""Which models are served with their ranking: of a store, of an exported folder, and what they need."""

import dataclasses
import importlib.util
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genrec.errors import ConfigError, DataError
from genrec.serve import bundle
from genrec.serve.model_files import ranking_of
from genrec.serve.query import Query
from genrec.serve.ranked import files as ranked_files
from genrec.serve.ranked.engine import RankedEngine
from genrec.serve.recommender import Recommender, load_engine
from tests.support.ranked_serving import write_ranked

QUERIES = [Query(["item 3", "item 8"], 6), Query(["item 5"], 20)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_ranked(tmp_path_factory.mktemp("ranked") / "shop")


@pytest.fixture(scope="module")
def exported(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "model"
    bundle.write(files, folder)
    return folder


def test_an_exported_folder_ranks_as_the_artifacts_do_without_their_candidates(files, exported):
    there = {path.name for path in (exported / "ranking").iterdir()}
    assert there == {"rank.json", "retrieval", "ranking", "typical.json"}
    recommender = Recommender.load(exported, device="cpu")
    assert recommender.files.where == "exported from run 20261127-ranked, ranked"
    assert recommender.engine.answer(QUERIES) == load_engine(files, "cpu").answer(QUERIES)
    other = Recommender.load(exported, device="cpu", rank=False)
    assert not isinstance(other.engine, RankedEngine)
    assert "ranked" not in other.files.where.removeprefix("exported from run 20261127-ranked")


def test_what_was_never_missing_has_a_typical_value(files, exported):
    typical = ranked_files.typical_values(exported / "ranking")
    assert typical == ranked_files.typical_values(files.ranking)
    assert typical["popularity"] >= 0
    assert "price" not in typical
    assert ranked_files.typical_values(exported) == {}


def test_what_no_request_tells_has_a_typical_value_whatever_was_missing_and_all_rows_decide_for_the_rest(tmp_path):
    (tmp_path / "valid").mkdir()
    columns = {"user_gap_days": [np.nan, 2, 4, 9, 9], "later": [1, 2, 3, 4, np.nan], "always": [1, 2, 3, 4, 5]}
    table = pa.table({name: pa.array(values, pa.float32()) for name, values in columns.items()})
    pq.write_table(table, tmp_path / ranked_files.VALID)
    assert ranked_files.typical_values(tmp_path) == {"user_gap_days": 6.5, "always": 3.0}
    assert ranked_files._medians(tmp_path / ranked_files.VALID, rows=3) == {"user_gap_days": 3.0, "always": 2.0}


def test_a_library_that_is_missing_is_named_with_the_way_to_do_without(exported, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "lightgbm" else found(name, *rest)
    )
    with pytest.raises(ConfigError, match=r"lightgbm is needed and not installed.*rank=False"):
        Recommender.load(exported, device="cpu")
    Recommender.load(exported, device="cpu", rank=False)


def test_whether_a_run_is_served_with_its_ranking_and_what_is_said(files, tmp_path):
    assert ranking_of(files.ranking, False) == (None, "")
    assert ranking_of(files.ranking, True) == (files.ranking, ", ranked")
    folder, said = ranking_of(None, True)
    assert folder is None
    assert "no stage rank" in said
    (tmp_path / "rank.json").write_text(json.dumps({"use": False}))
    folder, said = ranking_of(tmp_path, True)
    assert folder is None
    assert "no gain" in said
    (tmp_path / "rank.json").write_text("{")
    with pytest.raises(DataError, match="compute the stage rank again"):
        ranking_of(tmp_path, True)


def test_a_ranking_that_is_not_whole_is_named(files, tmp_path):
    (tmp_path / "rank.json").write_text(json.dumps({"use": True}))
    with pytest.raises(DataError, match="holds no readable ranking"):
        load_engine(dataclasses.replace(files, ranking=tmp_path), "cpu")
