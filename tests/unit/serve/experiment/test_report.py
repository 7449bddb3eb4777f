"""Experiments from the assignment to the report, through the real functions."""

import json

import pytest

from genrec.errors import GenrecError
from genrec.event_log import log_of_store, open_log
from genrec.serve.experiment import Experiment, ImpressionLog, experiment_folder
from genrec.serve.experiment.report import report_on
from tests.support.event_logs import T_MS
from tests.support.experiments import GOOD, POOR, play

RATES = {"g": 0.4, "p": 0.2}


def experiment(mode, **more):
    return Experiment(**{"name": "e", "candidate": "run-7", "share": 0.5, "mode": mode, "tight_at_users": 1000, **more})


@pytest.mark.parametrize("mode", ["split", "interleave"])
def test_two_models_alike_are_not_told_apart(tmp_path, mode):
    clock = play(tmp_path, experiment(mode), {"control": GOOD, "candidate": GOOD}, RATES, 1500)
    report = report_on(tmp_path, "e", clock=clock)
    assert report["decision"] == "open"
    assert "No difference in clicks is shown yet" in report["words"]
    found = report["differences"]["click"]
    assert found["low"] < 0 < found["high"]
    assert found["users"] > 650
    assert report["warnings"] == []


@pytest.mark.parametrize("mode", ["split", "interleave"])
@pytest.mark.parametrize(
    ("better", "words"), [("candidate", "The candidate (run-7) wins"), ("control", "in service wins")]
)
def test_a_planted_difference_is_found_with_its_sign(tmp_path, mode, better, words):
    other = {"control": "candidate", "candidate": "control"}[better]
    clock = play(tmp_path, experiment(mode), {better: GOOD, other: POOR}, RATES, 1500)
    report = report_on(tmp_path, "e", clock=clock)
    assert report["decision"] == better
    assert words in report["words"]
    assert report["differences"]["click"]["decided"]
    rates = {row["arm"].removeprefix("interleaved: items of "): row["click_rate"] for row in report["arms"]}
    assert rates[better] > rates[other]
    assert json.loads((experiment_folder(tmp_path, "e") / "report.json").read_text()) == report


def test_the_rates_by_arm_are_those_that_were_played(tmp_path):
    clock = play(tmp_path, experiment("split", share=0.3), {"control": POOR, "candidate": GOOD}, RATES, 2000)
    control, candidate = report_on(tmp_path, "e", clock=clock)["arms"]
    assert (control["users"] + candidate["users"], control["lists"] + candidate["lists"]) == (2000, 3000)
    assert candidate["users"] / 2000 == pytest.approx(0.3, abs=0.05)
    assert control["counted_users"] == control["users"]
    # At least one click on five items, each with a fifth of the rate.
    assert candidate["click_rate"] == pytest.approx(1 - (1 - 0.08) ** 5, abs=0.05)
    assert control["click_rate"] == pytest.approx(1 - (1 - 0.04) ** 5, abs=0.04)
    assert candidate["purchase_rate"] < candidate["click_rate"] / 2


def test_it_is_said_that_it_is_too_early(tmp_path):
    clock = play(tmp_path, experiment("split"), {"control": POOR, "candidate": GOOD}, RATES, 300)
    clock.now_ms = T_MS + 24 * 3_600_000
    report = report_on(tmp_path, "e", clock=clock)
    assert report["words"].startswith("Too early: 0 users count so far")
    assert report["differences"]["click"] == {"mean": None, "low": None, "high": None, "users": 0, "decided": False}


def test_users_lost_in_one_arm_are_warned_of(tmp_path):
    class Losing(Experiment):
        def assign(self, user_id):
            return "control" if super().place(user_id) < 0.7 else "candidate"

    losing = Losing(**{name: getattr(experiment("split"), name) for name in Experiment.__dataclass_fields__})
    clock = play(tmp_path, losing, {"control": GOOD, "candidate": GOOD}, RATES, 1500)
    (warning,) = report_on(tmp_path, "e", clock=clock)["warnings"]
    assert "where 50.0% were drawn" in warning


def test_a_share_of_one_compares_nothing_and_says_so(tmp_path):
    clock = play(tmp_path, experiment("split", share=1.0), {"candidate": GOOD}, RATES, 200)
    report = report_on(tmp_path, "e", clock=clock)
    assert report["decision"] == "open"
    assert "nothing to compare" in report["warnings"][0]


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(GenrecError, match="none in this store"):
        report_on(tmp_path, "e")
    ImpressionLog.open(tmp_path, experiment("split"), str(log_of_store(tmp_path))).close()
    with pytest.raises(GenrecError, match="no impressions yet"):
        report_on(tmp_path, "e")
    with ImpressionLog(experiment_folder(tmp_path, "e"), experiment("split")) as impressions:
        impressions.log("r", "u", "control", ["a"])
    with pytest.raises(GenrecError, match="event log"):
        report_on(tmp_path, "e")
    open_log(log_of_store(tmp_path)).close()
    assert report_on(tmp_path, "e")["arms"][0]["lists"] == 1
