import numpy as np

from genrec.train.rl.prompts import PromptSource
from tests.support.rl_tiny import write_prepared

SEQUENCES = [[0, 1, 2, 3], [4, 5], [6], [7, 8, 9]]  # the third has no prompt


def _source(tmp_path) -> PromptSource:
    write_prepared(tmp_path, SEQUENCES, [([0], 1)])
    return PromptSource(tmp_path / "train.parquet", seed=3)


def test_prompts_of_a_step_do_not_depend_on_the_steps_drawn_before(tmp_path):
    fresh, used = _source(tmp_path), _source(tmp_path)
    for step in (5, 0, 1):
        used.draw(step, 2)
    for step in (4, 1):  # two prompts of three users: a step reaches into the next epoch
        a, b = fresh.draw(step, 2), used.draw(step, 2)
        np.testing.assert_array_equal(a.target, b.target)
        assert [h.tolist() for h in a.histories] == [h.tolist() for h in b.histories]


def test_an_epoch_has_every_user_with_a_prompt_once(tmp_path):
    source = _source(tmp_path)
    drawn = [source.draw(step, 1) for step in range(3, 6)]
    assert sorted(d.histories[0][0] for d in drawn) == [0, 4, 7]
    for d in drawn:
        whole = next(s for s in SEQUENCES if s[0] == d.histories[0][0])
        cut = len(d.histories[0])
        assert d.histories[0].tolist() == whole[:cut]
        assert d.target[0] == whole[cut]
        assert np.shares_memory(d.histories[0], source.items)  # a place in the table of sequences, no copy


def test_the_users_of_an_epoch_are_drawn_once(tmp_path, monkeypatch):
    source, made = _source(tmp_path), []
    real = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed: made.append(seed) or real(seed))
    for step in range(6):
        source.draw(step, 1)
    assert made == [[3, 0], [3, 1]]
