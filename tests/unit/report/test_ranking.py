"""The section on ranking: what it says, and that what was not computed is left out."""

from genrec.report.page import render
from genrec.report.ranking import ranking_section, sentences
from genrec.report.result_plots import result_plots
from genrec.report.results import of_run
from tests.support.evaluate_tiny import HOSTILE, write_prepared

GAIN = {"difference": 0.0071, "ci": [0.0041, 0.0102], "before": 0.1091, "after": 0.1162}
METRICS = {"ranking": {"ndcg@10": 0.12, "gauc": 0.8}, "als": {"ndcg@10": 0.05}, "generator": {"ndcg@10": 0.1}}
CHANNELS = {
    "als": {"recall": 0.2, "adds": 0.004, "queries": 1.0},
    "generator": {"recall": 0.24, "adds": 0.01, "queries": 0.9},
}
FACTS = {
    "use": True,
    "retrieval": {"k": 50, "channels": CHANNELS, "union": 0.517, "ceiling": 0.455, "candidates": 200.0, "without": 0},
    "ranking": {
        "ranker": "lambdamart",
        "gain": GAIN,
        "metrics": METRICS,
        "calibration": {
            "bins": [{"predicted": 0.01, "observed": 0.02}, {"predicted": 0.1, "observed": 0.1}],
            "ece": 0.004,
        },
        "importance": {"dense": 0.6, "als_score": 0.4},
        "segments": [
            {
                "segment": 2,
                "lists": 1200,
                "events": 6.25,
                "head_share": None,
                "ranking": {"ndcg@10": 0.12, "hr@10": 0.2},
                "generator": {"ndcg@10": 0.11, "hr@10": 0.2},
            },
        ],
    },
    "groups": [{"group": "text", "features": 5, "gain": GAIN}],
    "explained": {
        "user": 3,
        "candidates": [
            {
                "item": 0,
                "is_next": True,
                "score": 1.5,
                "features": [{"name": "dense", "value": 1.0, "contribution": 0.5}],
            }
        ],
    },
    "rerank": {
        "tuned_on": 50,
        "judged_on": 60,
        "table": [
            {"step": "caps", "figure": "hr@10", "before": 0.2, "after": 0.1, "difference": -0.1, "ci": [-0.2, -0.05]},
            {"step": "caps", "figure": "price@10", "before": None, "after": None, "difference": None, "ci": None},
        ],
        "fronts": [],
        "warnings": {"caps: not held": 4},
    },
    "seconds": {"fit": 12.0},
    "peak_memory_gib": 2.5,
}


def test_the_section_says_whether_it_is_used_what_can_be_reached_and_shows_every_table(tmp_path):
    section = ranking_section(FACTS, write_prepared(tmp_path / "prepared"))
    said = " ".join(section["sentences"])
    assert "is used" in said
    assert "difference +0.0071, interval +0.0041 to +0.0102" in said
    assert "45.5% have the target among their 200 candidates" in said
    assert "caps: not held: 4" in said
    channels, figures, segments, groups, explained, rerank = section["tables"]
    assert [row["cells"][0] for row in channels["rows"]] == ["generator", "als"]  # by recall
    assert [row["cells"][0] for row in figures["rows"]] == ["ranking", "generator", "als"]
    assert figures["columns"] == ["Order", "NDCG@10", "GAUC"]
    assert segments["rows"][0]["cells"] == ["2", "1,200", "6.2", "", "0.1200", "0.1100", "+0.0100"]
    assert groups["rows"][0]["cells"] == ["text", "5", "+0.0071", "+0.0041 to +0.0102"]
    assert explained["rows"][0]["cells"][2] == "dense +0.500"
    assert len(rerank["rows"]) == 1  # a figure that no list has is left out
    assert [plot.title for plot in section["plots"]] == ["Calibration", "Features that the ranker uses most"]


def test_titles_are_text_never_markup_on_the_page(tmp_path):
    section = ranking_section(FACTS, write_prepared(tmp_path / "prepared"))
    page = render("report.html.j2", report={"name": "n", "run_id": "r", "stages": []}, training={}, ranking=section)
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page
    assert '<h2 id="ranking">' in page


def test_a_ranking_without_gain_is_said_not_to_be_used():
    assert "is not used" in sentences({**FACTS, "use": False})[0]


def test_where_nothing_could_be_learned_the_channels_alone_are_shown():
    facts = {name: FACTS[name] for name in ("retrieval", "seconds", "peak_memory_gib")} | {"use": False}
    section = ranking_section(facts, None)
    assert len(section["tables"]) == 1
    assert not section["plots"]


def test_what_ranking_changes_stands_apart_from_what_reinforcement_learning_changed():
    figure = {"ndcg@10": 0.1, "ndcg@10_ci": [0.05, 0.15], "hr@10": 0.2, "hr@10_ci": [0.1, 0.3]}
    pair = {"metric": "ndcg@10", "difference": 0.01, "ci": [0.0, 0.02], "share_in_favour": 0.9, "relative": 0.1}
    pairs = (("rl", "sft"), ("rank", "sft"), ("rank", "rl"), ("rank", "als"), ("rl", "als"), ("sft", "als"))
    report = {
        "name": "run",
        "protocol": {"headline_k": 10, "confidence": 0.95},
        "metrics": dict.fromkeys(("sft", "rl", "rank", "als"), figure),
        "comparisons": [{"model": one, "against": other, **pair} for one, other in pairs],
    }
    plots = {plot.title: plot.svg for plot in result_plots(of_run(report))}
    assert "rank vs rl" in plots["What ranking changed"]
    assert ">rl<" in plots["What reinforcement learning changed"]
    assert ">rank<" not in plots["What reinforcement learning changed"]
