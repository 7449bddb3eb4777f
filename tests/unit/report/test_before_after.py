"""What reinforcement learning changed on validation, on the page of a run."""

from genrec.report.before_after import before_after_table
from genrec.report.page import render
from genrec.report.plots import Plot

COMPARED = {
    "step": 40,
    "returned": True,
    "rows": 24,
    "before": {
        "hr@1": 0.1,
        "ndcg@50": 0.0,
        "reward_rank_log": -0.2,
        "novelty@10": 4.5,
        "purchases_among_hits@10": 0.25,
    },
    "after": {"hr@1": 0.12, "ndcg@50": 0.1, "reward_rank_log": -0.1, "novelty@10": 4.6},
    "change_ci": {"hr@1": [0.01, 0.03], "ndcg@50": [0.05, 0.15], "reward_rank_log": [0.05, 0.15]},
}
GATE = {"confidence": 0.9}


def test_every_figure_has_its_change_and_its_interval_where_there_are():
    table = before_after_table({"gate": GATE, "before_after": COMPARED})
    assert table["columns"] == ["Validation", "SFT", "Step 40 (returned)", "Change", "90% interval"]
    assert [row["cells"] for row in table["rows"]] == [
        ["HR@1", "0.1000", "0.1200", "+20.0%", "+0.0100 to +0.0300"],
        ["NDCG@50", "0.0000", "0.1000", "", "+0.0500 to +0.1500"],
        ["Reward: rank log", "-0.2000", "-0.1000", "+50.0%", "+0.0500 to +0.1500"],
        ["Novelty@10", "4.50", "4.60", "+2.2%", ""],
        ["Purchases among hits@10", "25.0%", "", "", ""],  # no hit after
    ]


def test_a_run_without_a_leading_checkpoint_shows_the_sft_model_alone():
    only = {"step": 0, "returned": False, "rows": 24, "before": {"hr@1": 0.1}}
    table = before_after_table({"gate": GATE, "before_after": only})
    assert table["columns"] == ["Validation", "SFT"]
    assert [row["cells"] for row in table["rows"]] == [["HR@1", "0.1000"]]
    assert before_after_table({"improved": False}) is None
    assert before_after_table({"before_after": None}) is None


def test_the_section_on_reinforcement_learning_says_what_came_of_it():
    summary = {"gate": GATE, "before_after": {**COMPARED, "returned": False}, "outcome": "The SFT model is <kept>."}
    summary["reward_notes"] = {"new_item": "bought nothing & more"}
    shown = {"training": {"rl": [Plot("Reward", "<svg></svg>", "note")]}, "before_after": before_after_table(summary)}
    report = {"name": "x", "run_id": "1", "stages": [], "training": {"rl": summary}}
    page = render("report.html.j2", report=report, **shown)
    for text in ("The SFT model is &lt;kept&gt;.", "new_item bought nothing &amp; more", "Step 40 (not returned)"):
        assert page.count(text) == 1
    assert page.index("Reinforcement learning") < page.index("Step 40 (not returned)") < page.index("<svg>")
