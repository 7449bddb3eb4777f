"""Whether a new model is promoted: by a paired interval on validation rows, with known error rates."""

import numpy as np
import pyarrow as pa
import pytest

from genrec import tables
from genrec.config import EvaluateConfig
from genrec.errors import DataError
from genrec.in_service.decision import decide, judge
from genrec.in_service.ranks import CURRENT, NEW, RANKS, RANKS_FILE
from genrec.metrics import ndcg

CONFIG = EvaluateConfig(num_bootstrap=200)
NUM_USERS = 400


def _artifacts(folder, valid_new, valid_current, test_new, test_current, users=None):
    """An evaluate artifact whose last model has these test ranks, and ranks.parquet with the others, in one folder."""
    folder.mkdir()
    users = np.arange(len(test_new)) if users is None else users
    frames = []
    for model, ranks in (("sft", np.zeros(len(test_new), int)), ("rl", test_new)):
        for protocol in ("drop", "keep"):
            shown = ranks if protocol == "drop" else np.full(len(ranks), -1)
            columns = {"model": [model] * len(ranks), "seen_items": [protocol] * len(ranks), "rank": shown, "user": users,
                       "target": users, "items": [[]] * len(ranks), "scores": [[]] * len(ranks)}  # fmt: skip
            frames.append(pa.table(columns).select(tables.PREDICTIONS.names).cast(tables.PREDICTIONS))
    tables.write_table(pa.concat_tables(frames), folder / "predictions.parquet", tables.PREDICTIONS)
    rows = []
    for split, model, ranks in (
        ("valid", NEW, valid_new),
        ("valid", CURRENT, valid_current),
        ("test", CURRENT, test_current),
    ):
        columns = {"split": [split] * len(ranks), "model": [model] * len(ranks), "user": np.arange(len(ranks))}
        rows.append(pa.table({**columns, "rank": ranks}).cast(RANKS))
    tables.write_table(pa.concat_tables(rows), folder / RANKS_FILE, RANKS)
    return folder


def test_the_decision_rests_on_validation_rows_and_test_figures_stand_beside(tmp_path):
    good, bad = np.array([0, 1, -1, 0] * 25), np.array([5, -1, -1, 9] * 25)
    folder = _artifacts(tmp_path / "a", good, bad, bad[:40], good[:40])  # better on validation, worse on test
    made = decide(folder, folder, CONFIG)
    assert made["good_enough"]
    assert (made["metric"], made["rule"], made["rows"], made["test"]["rows"]) == ("ndcg@10", "if_not_worse", 100, 40)
    assert (made["new"], made["current"]) == (round(ndcg(good, 10).mean(), 6), round(ndcg(bad, 10).mean(), 6))
    assert (made["test"]["new"], made["test"]["current"]) == (made["current"], made["new"])
    folder = _artifacts(tmp_path / "b", bad, good, good[:40], bad[:40])
    assert not decide(folder, folder, CONFIG)["good_enough"]


def test_other_rows_are_refused(tmp_path):
    ranks = np.zeros(4, int)
    folder = _artifacts(tmp_path / "a", ranks, ranks, ranks, ranks, users=np.arange(4) + 1)
    with pytest.raises(DataError, match="holds other rows"):
        decide(folder, folder, CONFIG)
    folder = _artifacts(tmp_path / "b", ranks, ranks[:3], ranks, ranks)
    with pytest.raises(DataError, match="holds other rows"):
        decide(folder, folder, CONFIG)


def _judge(new, current, rule="if_not_worse", max_loss=0.0):
    return judge(np.arange(len(new)), new, current, CONFIG, rule, max_loss)


def test_the_same_ranks_are_not_worse_and_not_better():
    ranks = np.array([0, 3, -1, 1] * 20)
    assert _judge(ranks, ranks)["good_enough"]
    assert not _judge(ranks, ranks, "if_better")["good_enough"]


def test_a_loss_beyond_chance_is_refused_unless_it_is_allowed():
    current = np.array([0, 0, 2, 4] * 50)
    new = np.array([0, 0, 2, 9] * 50)
    lost = _judge(new, current)
    assert not lost["good_enough"]
    share = -lost["ci"][1] / lost["current"]  # what is lost for certain
    assert not _judge(new, current, max_loss=0.9 * share)["good_enough"]
    assert _judge(new, current, max_loss=1.1 * share)["good_enough"]


def _nights(loss_share, rule="if_not_worse", max_loss=0.0, num_nights=400):
    """The decisions of many nights about a model that loses this share of the other's hits, and is as good otherwise.

    The two agree on half of the users; NDCG differs between users with a standard deviation of about 0.2.
    """
    generator = np.random.default_rng(1)
    made = []
    for _ in range(num_nights):
        ranks = np.where(generator.random((3, NUM_USERS)) < 0.15, generator.integers(0, 10, (3, NUM_USERS)), -1)
        shared = generator.random(NUM_USERS) < 0.5
        new, current = (np.where(shared, ranks[2], own) for own in ranks[:2])
        new = np.where(generator.random(NUM_USERS) < loss_share, -1, new)
        made.append(_judge(new, current, rule, max_loss))
    return made


def _promoted(nights):
    return np.mean([night["good_enough"] for night in nights])


@pytest.fixture(scope="module")
def equal():
    """Nights with a model that is exactly as good as the one in service."""
    return _nights(0.0, num_nights=1000)


def test_an_equally_good_model_is_promoted_as_often_as_the_sentence_says(equal):
    assert _promoted(equal) == pytest.approx(0.975, abs=0.02)
    assert {night["equal_promoted"] for night in equal} == {0.975}
    assert _promoted([{**night, "good_enough": night["ci"][0] > 0} for night in equal]) < 0.05  # if_better


def test_a_point_estimate_would_promote_half_of_them(equal):
    assert np.mean([night["difference"] >= 0 for night in equal]) == pytest.approx(0.5, abs=0.08)


def test_the_loss_that_passes_half_of_the_time_is_the_one_named_and_twice_that_hardly_passes(equal):
    loss = np.mean([night["loss_passed"] for night in equal])
    current = np.mean([night["current"] for night in equal])
    once, twice = (_nights(factor * loss / current) for factor in (1, 2))
    assert np.mean([night["difference"] for night in once]) == pytest.approx(-loss, rel=0.15)
    assert _promoted(once) == pytest.approx(0.5, abs=0.12)
    assert _promoted(twice) < 0.08


def test_an_allowed_loss_comes_on_top_of_chance(equal):
    allowed = _nights(0.0, max_loss=0.1, num_nights=20)
    for night, wider in zip(equal[:20], allowed, strict=True):
        assert wider["loss_passed"] == pytest.approx(night["loss_passed"] + 0.1 * night["current"], abs=1e-6)
        assert wider["equal_promoted"] > 0.975


def test_if_better_names_its_error_rate_and_passes_no_loss():
    made = _nights(0.0, "if_better", num_nights=1)[0]
    assert (made["equal_promoted"], made["loss_passed"]) == (0.025, None)


@pytest.mark.parametrize(("num_users", "loss"), [(1_000, 0.012), (10_000, 0.004), (100_000, 0.0012)])
def test_the_losses_written_in_the_setting_are_those_of_so_many_users(num_users, loss):
    """Two models whose NDCG differs between users with a standard deviation of 0.2."""
    generator = np.random.default_rng(0)
    new, current = (
        np.where(generator.random(num_users) < 0.083, generator.integers(0, 10, num_users), -1) for _ in "ab"
    )
    assert (ndcg(new, 10) - ndcg(current, 10)).std() == pytest.approx(0.2, abs=0.03)
    assert _judge(new, current)["loss_passed"] == pytest.approx(loss, rel=0.2)
