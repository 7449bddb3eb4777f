"""The rank stage on a tiny shop: what it writes, what it decides, and what it refuses."""

import json

import numpy as np
import polars as pl
import pytest

from genrec import tables
from genrec.config import Config
from genrec.errors import ConfigError
from genrec.measure.evaluation import merge
from genrec.measure.predictions import FACTS_FILE, LISTS, read_parts
from genrec.measure.ranked import RANKING, RETRIEVAL, fit_and_rank
from genrec.measure.rows import read_rows
from genrec.rank import ranking
from genrec.rank.features.parts.compute import as_table
from genrec.rank.features.parts.queries import as_served, read_queries
from genrec.rank.rerank.parts import steps
from genrec.rank.retrieval import Retrieval
from genrec.rank.samples import from_frame
from genrec.recall.parts.generator import Generator
from tests.support.evaluate_tiny import (
    CONFIG,
    NUM_USERS,
    rank_baselines,
    write_model,
    write_prepared,
    write_sid_artifact,
)
from tests.support.rank_tiny import SMALL

OFF = dict.fromkeys(
    (
        "sasrec",
        "mind",
        "item2vec",
        "item2vec_side",
        "content",
        "als",
        "swing",
        "usercf",
        "transition_hops",
        "transition_rings",
    ),
    0,
)
RANK = {
    "enabled": True,
    "channels": {**OFF, "generator": 8, "popularity": 8, "itemcf": 8, "transitions": 8},
    "ranker": {"name": "lambdamart", "options": SMALL["lambdamart"]},
    "num_folds": 2,
    "rerank": [{"name": "fusion", "options": {"aims": {"novelty": 1.0}, "evaluations": 40}}, "caps"],
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    prepared = write_prepared(root / "prepared")
    return root, prepared, write_sid_artifact(root / "sids"), write_model(root / "model", prepared)


def config(**rank):
    return Config(rank={**RANK, **rank}, evaluate=CONFIG.model_dump())


@pytest.fixture(scope="module")
def finished(world):
    root, prepared, sids, model = world
    facts = fit_and_rank(config(), prepared, None, sids, None, model, root / "ranked")
    return root / "ranked", facts


def test_the_candidates_of_both_splits_are_kept_with_all_their_features(world, finished):
    for split in ("valid", "test"):
        table = tables.CANDIDATES_FILE.read(finished[0] / split)
        assert table.column_names[:4] == ["user", "item", "query", "label"]
        assert {"generator_score", "itemcf_rank", "dense", "popularity"} <= set(table.column_names)
        assert table["label"].to_numpy().sum() <= NUM_USERS


def test_both_protocols_have_a_list_of_every_test_row_and_seen_items_are_dropped_under_drop(world, finished):
    rows = read_rows(world[1], "test")
    for model in ("rank", "rerank"):
        for protocol in ("drop", "keep"):
            listed = read_parts(finished[0] / LISTS, model, protocol, rows)["items"].to_pylist()
            assert all(len(set(items)) == len(items) > 0 for items in listed)
            if protocol == "drop":
                assert not any(set(items) & set(h.tolist()) for items, h in zip(listed, rows.histories, strict=True))


def test_reranked_lists_hold_what_the_ranker_listed_where_no_step_changes_the_candidates(world, finished):
    rows = read_rows(world[1], "test")
    one, other = (
        read_parts(finished[0] / LISTS, name, "drop", rows)["items"].to_pylist() for name in ("rank", "rerank")
    )
    assert [len(items) for items in one] == [len(items) for items in other]


def test_what_was_decided_is_kept_and_told(finished):
    folder, facts = finished
    assert json.loads((folder / FACTS_FILE).read_text()) == facts
    assert set(facts["retrieval"]["channels"]) >= {"generator", "itemcf", "transitions"}
    assert facts["use"] is facts["ranking"]["use"]
    assert facts["rerank"]["tuned_on"] + facts["rerank"]["judged_on"] == NUM_USERS
    assert [step.name for step in steps.load(folder).steps] == ["fusion", "caps"]


def test_the_kept_artifact_gives_one_request_the_row_of_the_stage(world, finished):
    """What an endpoint has: the saved index and models, and one history at a time."""
    _, prepared, sids, model = world
    folder = finished[0]
    retrieval, loaded = Retrieval.load(folder / RETRIEVAL), ranking.load(folder / RANKING)
    asked, rows = read_queries(prepared, "test"), read_rows(prepared, "test")
    listed = read_parts(folder / LISTS, "rank", "drop", rows)
    stored = from_frame(pl.read_parquet(folder / "test" / "candidates.parquet"))
    for row in (0, 5):
        one = as_served([asked.queries.histories[row]], retrieval.tables.served_moment)
        found = retrieval(one, Generator.load(model, None, sids), banned=one.histories)
        alone = from_frame(
            as_table(found.features(), found.candidates, asked.users[row : row + 1], asked.targets[row : row + 1])
        )
        mine = stored.take(stored.query == row)
        assert alone.names == mine.names
        assert alone.item.tolist() == mine.item.tolist()
        np.testing.assert_allclose(alone.features, mine.features, rtol=1e-4, atol=1e-5)
        order = np.lexsort((np.arange(len(alone)), -loaded.scores(alone)))
        assert alone.item[order][: CONFIG.beam_width].tolist() == listed["items"][row].as_py()


def test_a_ranker_learns_from_rows_as_requests_ask_for_them_unless_told_otherwise(world, finished, tmp_path):
    _, prepared, sids, model = world
    untold = ["user_recency_days", "user_gap_days", "user_purchases"]
    served = pl.read_parquet(finished[0] / "valid" / "candidates.parquet", columns=untold)
    assert all(served[name].is_nan().all() for name in untold)
    fit_and_rank(config(queries="as_logged"), prepared, None, sids, None, model, tmp_path)
    logged = pl.read_parquet(tmp_path / "valid" / "candidates.parquet", columns=untold)
    assert not logged["user_purchases"].is_nan().any()


def test_evaluate_shows_them_as_rows_with_intervals_against_generator_and_channels(world, finished, tmp_path):
    rank_baselines(world[1], CONFIG, tmp_path / "baselines")
    merge(finished[0] / LISTS, world[1], CONFIG, tmp_path / "out", baselines=tmp_path / "baselines")
    result = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert list(result["metrics"])[:2] == ["rank", "rerank"]
    compared = {(pair["model"], pair["against"]) for pair in result["comparisons"]}
    assert {("rank", "itemcf"), ("rerank", "rank"), ("rerank", "popularity")} <= compared


def test_without_a_generator_it_is_refused(world, tmp_path):
    _, prepared, sids, model = world
    without = config(channels={"generator": 0, "itemcf": 5})
    with pytest.raises(ConfigError, match=r"rank\.channels\.generator: 0"):
        fit_and_rank(without, prepared, None, sids, None, model, tmp_path)


def test_without_a_validation_row_nothing_is_ranked_and_that_is_said(world, tmp_path):
    _, prepared, sids, model = world
    other = tmp_path / "prepared"
    other.mkdir()
    for file in prepared.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    tables.VALID_FILE.write(tables.TARGETS.empty_table(), other)
    facts = fit_and_rank(config(), other, None, sids, None, model, tmp_path / "out")
    assert facts["use"] is False
    assert "no validation row" in facts["warnings"][0]
    assert not (tmp_path / "out" / LISTS).exists()
