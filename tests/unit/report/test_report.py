"""The report: complete, self-contained, escaped, and shorter when a run stopped early."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from genrec import tables
from genrec.config import Config
from genrec.measure.decoding import decode_shard
from genrec.measure.evaluation import merge
from genrec.measure.score_parts import MEASURED
from genrec.report.page import duration, plots_of
from genrec.report.report import page, write_report
from genrec.report.results import terminal_rows
from genrec.report.semantic_ids import sid_examples
from genrec.report.training import read_log
from tests.support.evaluate_tiny import (
    CONFIG,
    HOSTILE,
    NUM_CODES,
    NUM_ITEMS,
    NUM_USERS,
    rank_baselines,
    write_joined_model,
    write_prepared,
    write_sid_artifact,
    write_summary,
)

PARTS = [f"sft_{part}" for part in MEASURED["sft"]]


def write_ingest(folder):
    folder.mkdir()
    interactions = {"user_id": ["u"] * 3, "item_id": ["i"] * 3, "timestamp": [1, 2, 3], "event": ["click"] * 3}
    table = pa.table(interactions | {"rating": pa.array([None] * 3, pa.float32())})
    tables.write_table(table, folder / "interactions.parquet", tables.INTERACTIONS)
    tables.write_table(tables.ITEMS.empty_table(), folder / "items.parquet", tables.ITEMS)
    bad = {"file": ["f"] * 3, "line": [1, 2, 3], "reason": ["bad_json", HOSTILE, "bad_json"]}
    table = pa.table(bad | {"detail": [HOSTILE] * 3, "record": [HOSTILE] * 3})
    tables.write_table(table, folder / "quarantine.parquet", tables.QUARANTINE)
    return folder


def write_log(folder, names):
    rows = [(step, step / 4, name, 1 / step) for name in names for step in range(1, 9)] + [(9, 2.0, names[0], np.nan)]
    columns = dict(zip(tables.TRAINING_LOG.names, zip(*rows, strict=True), strict=True))
    tables.write_table(pa.table(columns), folder / "training_log.parquet", tables.TRAINING_LOG)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The record of a complete run."""
    root = tmp_path_factory.mktemp("run")
    prepared = write_prepared(root / "prepare")
    paths = {"ingest": write_ingest(root / "ingest"), "prepare": prepared, "sid": write_sid_artifact(root / "sid")}
    model = write_joined_model(root / "m", prepared, paths["sid"], weight=0.5, share=0.3)
    for stage, names in (
        ("sft", ["loss", "valid_hr@10", "valid_ndcg@10"]),
        ("rl", ["reward", "kl", "hit_rate", "valid_ndcg@10"]),
    ):
        paths[stage] = root / stage
        paths[stage].mkdir()
        write_log(paths[stage], names)
    parts, of_all = root / "parts", (0, NUM_USERS)
    decode_shard(prepared, paths["sid"], model, None, "sft", CONFIG, of_all, parts, alone=MEASURED["sft"], device="cpu")
    rank_baselines(prepared, CONFIG, parts)
    paths["evaluate"] = root / "evaluate"
    write_summary(paths["evaluate"], **merge(parts, prepared, CONFIG, paths["evaluate"], identical={"rl": "sft"}))
    write_summary(paths["rl"], improved=False)
    write_summary(
        paths["ingest"],
        interactions=3,
        catalogue_items=0,
        quarantined={HOSTILE: 1, "bad_json": 2},
        items_without_metadata=1234,
        items_without_text=5678,
        changes={"html": 91, "cleaned_ids": 0},
    )
    counted = {"train_events": 50, "valid_targets": NUM_USERS, "test_targets": NUM_USERS}
    write_summary(prepared, users=NUM_USERS, items=NUM_ITEMS, interactions=74, split="leave_one_out", **counted)
    shares = {"collision_rate_raw": 2 / NUM_ITEMS, "collision_rate": 0.0, "utilization": [0.5, 0.25, 1.0]}
    write_summary(paths["sid"], num_items=NUM_ITEMS, num_levels=3, num_codes=NUM_CODES, **shares)
    config = Config(name="tiny").model_dump(mode="json")
    config["data"]["path"] = HOSTILE
    return {
        "run_id": "20260101-tiny",
        "config": config,
        "stages": [
            {"name": name, "key": f"{name}-0", "status": "cached", "seconds": 0.1, "reason": HOSTILE} for name in paths
        ],
        "artifacts": paths,
        "started_at_unix_s": 1_767_225_600,
    }


@pytest.fixture(scope="module")
def written(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    report = write_report(run, folder)
    return report, json.loads((folder / "report.json").read_text()), (folder / "report.html").read_text()


class Tags(HTMLParser):
    """Start tags with their attributes, and whether every element was closed."""

    VOID = frozenset({"meta", "br", "link", "img", "input"})

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"


def test_report_json_holds_what_others_rely_on(written):
    returned, report, _ = written
    assert returned == report
    assert [set(s) for s in report["stages"]] == [{"name", "key", "status", "seconds", "reason"}] * 6
    assert report["data"]["users"] == NUM_USERS
    assert report["data"]["items"] == NUM_ITEMS
    assert report["data"]["quarantined"] == {"bad_json": 2, HOSTILE: 1}
    split = report["data"]["split"]
    assert split["test_targets"] == split["valid_targets"] == NUM_USERS
    assert report["data"]["interactions"] == split["train_events"] + 2 * NUM_USERS
    assert report["sid"]["collision_rate"] == 0
    assert report["sid"]["collision_rate_raw"] == pytest.approx(2 / NUM_ITEMS, abs=1e-6)
    assert len(report["sid"]["utilization"]) == 3
    assert list(report["metrics"]) == ["sft", *PARTS, "rl", "popularity", "itemcf", "transitions"]
    assert report["score"] == {"sft": {"ids": 0.5, "dense": 0.35, "transitions": 0.15}}
    assert report["identical"] == {"rl": "sft"}
    assert {"hr@2", "hr@5_ci", "ndcg@5", "seen_kept"} <= set(report["metrics"]["rl"])
    assert report["decode"]["users_per_s"] > 0
    assert report["decode"]["invalid"] == 0
    assert "leave-one-out" in report["protocol"]["short"]
    assert report["training"]["rl"] == {"improved": False}


def test_how_the_input_was_read_is_on_the_page(written):
    page = written[2]
    assert "1,234" in page
    assert "items with events and without metadata" in page
    assert "5,678" in page
    assert page.count("91 texts held HTML") == 1
    assert "0 ids" not in page


def test_the_page_is_well_formed_and_needs_nothing_from_outside(written):
    page = Tags(written[2])
    assert page.open == []
    tags = {tag for tag, _ in page.found}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "form"}
    for _, attributes in page.found:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("href", "src", "xlink:href"):
            assert attributes.get(name, "#").startswith("#")
    assert not re.search(r"url\((?!#)|@import", written[2])


def test_ids_on_the_page_are_unique(written):
    ids = [a["id"] for _, a in Tags(written[2]).found if "id" in a]
    assert len(ids) == len(set(ids)) > 20


def test_text_from_data_and_config_is_escaped(written):
    page = written[2]
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "{{ 7*7 }}" in page, "data is never rendered as a template"


def test_every_section_of_a_complete_run_is_there(written):
    page = written[2]
    for anchor in (
        "results",
        "slices",
        "lists",
        "examples",
        "sft",
        "rl",
        "sid",
        "data",
        "stages",
        "protocol",
        "config",
    ):
        assert f'id="{anchor}"' in page
    assert page.count("<svg") == 16  # 3 of results, 3 of slices, 2 of sft, 4 of rl, codes, 3 of the data
    assert "the SFT weights were kept" in page


def test_a_model_is_followed_by_the_parts_of_its_score_in_every_table(written):
    _, report, page = written
    tables = re.findall(r"<table.*?</table>", page, re.DOTALL)
    first_cells = [re.findall(r"<tr[^>]*><td>(\w+)</td>", table) for table in tables[:3]]
    headline, other, lists = first_cells
    place = headline.index("sft")
    assert headline[place : place + 4] == lists[place : place + 4] == ["sft", *PARTS]
    assert set(other) == {"sft", "popularity", "itemcf", "transitions"}
    assert page.count('<tr class="part">') == 6
    assert "sft_ids is sft by its semantic ids" in page
    (told,) = (sentence for sentence in report["verdict"] if sentence.startswith("Score of sft: "))
    assert told in page


def test_a_model_that_is_the_one_before_it_has_a_line_and_no_row(written):
    _, report, page = written
    assert "Reinforcement learning found no better checkpoint: rl is the sft model." in report["verdict"]
    assert "<td>rl</td>" not in page.partition('id="stages"')[0]
    assert "What reinforcement learning changed" not in page
    assert "rl" not in [row[0] for row in terminal_rows(report)[1]]


def test_the_plots_of_a_page_can_be_had_from_it_again(run, written):
    artifacts = {stage: Path(path) for stage, path in run["artifacts"].items()}
    drawn = page(written[0], artifacts)
    found = plots_of(written[2])
    assert {name: len(plots) for name, plots in found.items() if plots} == {
        "results": 3, "slices": 3, "sft": 2, "rl": 4, "sid": 1, "data": 3
    }  # fmt: skip
    assert [(p.title, p.note) for p in found["rl"]] == [(p.title, p.note) for p in drawn["training"]["rl"]]
    assert [p.svg.strip() for p in found["slices"]] == [p.svg.strip() for p in drawn["slices"]]


@pytest.mark.parametrize("last", ["ingest", "prepare", "sid", "sft"])
def test_a_run_that_stopped_early_has_a_shorter_report(run, last, tmp_path):
    order = list(run["artifacts"])
    kept = order[: order.index(last) + 1]
    early = run | {"artifacts": {s: run["artifacts"][s] for s in kept}, "stages": run["stages"][: len(kept)]}
    report = write_report(early, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert Tags(page).open == []
    assert "stopped before the evaluation" in page
    assert ("sid" in report) == ('id="sid"' in page) == (last in ("sid", "sft"))
    assert "metrics" not in report
    assert terminal_rows(report) == ([], [])


def test_terminal_rows_are_text_best_first(written):
    columns, rows = terminal_rows(written[0])
    assert columns[:2] == ["Model", "HR@5"]
    assert sorted(r[0] for r in rows) == sorted(set(written[0]["metrics"]) - {"rl"})
    assert all(len(r) == len(columns) and all(isinstance(c, str) for c in r) for r in rows)
    figures = [float(r[3]) for r in rows if r[0] not in PARTS]
    assert figures == sorted(figures, reverse=True)


def test_logs_leave_out_what_is_not_finite(run):
    log = read_log(run["artifacts"]["sft"] / "training_log.parquet")
    assert log["loss"] == (list(range(1, 9)), [1 / s for s in range(1, 9)])


def test_id_examples_share_their_prefix(run):
    for group in sid_examples(run["artifacts"]["sid"], run["artifacts"]["prepare"]):
        assert all(item["sid"].startswith(group["prefix"] + "-") for item in group["items"])
        assert 0 < len(group["items"]) <= group["size"]


def test_durations_read_well():
    assert [duration(s) for s in (3.21, 59.94, 245, 3720)] == ["3.2 s", "59.9 s", "4 min 05 s", "1 h 02 min"]


def test_what_a_reader_should_know_and_what_became_of_the_model_are_in_both_files(run, tmp_path):
    promotion = {"promoted": False, "in_service": "monday", "why": "NDCG fell"}
    report = write_report(run | {"warnings": [f"gone: {HOSTILE}"], "promotion": promotion}, tmp_path)
    assert report["warnings"] == [f"gone: {HOSTILE}"]
    assert report["promotion"] == promotion
    assert report["verdict"][-1] == "Not promoted, monday stays in service: NDCG fell."
    page = (tmp_path / "report.html").read_text()
    assert "gone: &lt;script&gt;" in page
    assert "monday stays in service" in page


def test_a_run_without_anything_to_warn_of_has_no_such_key(written):
    assert "warnings" not in written[0]
