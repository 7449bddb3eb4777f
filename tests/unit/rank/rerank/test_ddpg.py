"""DDPG: rewards are gains over the lists as they came, and what it learns keeps within what NDCG may cost."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from genrec import variants
from genrec.errors import GenrecError
from genrec.rank.rerank import ddpg
from genrec.rank.rerank.parts import aims
from genrec.rank.rerank.parts.goal import Goal, figures_wanted
from genrec.rank.rerank.parts.rewards import ListFigures, rewards, shrunk
from tests.support.rerank_tiny import PACKAGE, SMALL, paying


def tuned(on, **options):
    return ddpg.tune(on, variants.build(PACKAGE, "ddpg", {**SMALL["ddpg"], **options})[1], 5, 0)


def measured(on, loss=0.01):
    names, wanted = aims.names_of(on), {"purchase": 1.0}
    figures = ListFigures(on, names, figures_wanted(wanted, names), 5)
    return figures, Goal(wanted, {name: float(v.mean()) for name, v in figures.unchanged.items()}, loss)


def test_a_reward_is_the_share_gained_in_the_wanted_figures_and_ndcg():
    on = paying()
    figures, goal = measured(on)
    rows = np.arange(len(on))
    same, other = np.tile([1.0, 0, 0, 0], (len(on), 1)), np.tile([1.0, 0, 2.0, 0], (len(on), 1))
    assert not rewards(figures, goal, 1.0, rows, same).any()
    gained = rewards(figures, goal, 0.5, rows, other).mean()
    now = figures(rows, other)
    expected = sum(
        weight * (now[name].mean() / figures.unchanged[name].mean() - 1)
        for name, weight in (("purchases", 1.0), ("ndcg", 0.5))
    )
    assert gained == pytest.approx(expected, abs=1e-6)


def test_weights_shrink_until_ndcg_holds_its_bound():
    on = paying()

    def weights(scale):
        return np.tile([1.0, 0, 3.0 * scale, 0], (len(on), 1))

    scales = []
    for loss in (0.0, 0.05, 0.5):
        figures, goal = measured(on, loss)
        scales.append(shrunk(figures, goal, np.arange(len(on)), weights))
        after = figures(np.arange(len(on)), weights(scales[-1]))
        assert after["ndcg"].mean() >= (1 - loss) * figures.unchanged["ndcg"].mean() - 1e-9
    assert scales == sorted(scales)
    assert scales[-1] > scales[0]


def test_what_is_learned_keeps_within_what_ndcg_may_cost():
    pytest.importorskip("stable_baselines3")
    on = paying()
    found = tuned(on, max_ndcg_loss=0.05)
    figures, _ = measured(on)
    held = ddpg._parted(len(on), 0.3, 0)[1]
    after = figures(held, found.weights(on.rows(held)))
    assert after["ndcg"].mean() >= 0.95 * figures.unchanged["ndcg"][held].mean() - 1e-9
    assert after["purchases"].mean() >= figures.unchanged["purchases"][held].mean()


def test_every_list_comes_once_before_any_comes_again():
    pytest.importorskip("stable_baselines3")
    from genrec.rank.rerank.parts.training import ListEnvironment

    on = paying(40)
    figures, goal = measured(on)
    state = np.arange(40, dtype=np.float32)[:, None]
    config = variants.build(PACKAGE, "ddpg", {"at_once": 10})[1]
    environment = ListEnvironment(state, np.arange(40), figures, goal, config, 0)
    seen = [environment.reset().ravel()]
    for _ in range(3):
        environment.step_async(np.zeros((10, 3), dtype=np.float32))
        following, reward, done, _ = environment.step_wait()
        seen.append(following.ravel())
        assert done.all()
        assert not reward.any()
    assert sorted(np.concatenate(seen).tolist()) == list(range(40))


def test_lists_stay_as_they_are_where_there_is_nothing_to_gain():
    on = paying()
    none = {"next": on.outcome["next"], "purchase": np.zeros_like(on.outcome["next"])}
    found = tuned(replace(on, outcome=none))
    assert found.warnings["nothing to gain in purchases"] == 1
    assert (found.rerank(on, 5).order == np.arange(on.width)).all()


def test_without_its_library_it_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    monkeypatch.delitem(sys.modules, "genrec.rank.rerank.parts.training", raising=False)
    with pytest.raises(GenrecError, match=r"genrec\[rerank\]"):
        tuned(paying(50))
