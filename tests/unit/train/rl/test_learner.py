"""The update on a real (tiny) model: gradients of the shared-prefix layout, micro-batches, direction of learning."""

import numpy as np
import pytest
import torch

from genrec.errors import TrainingError
from genrec.train.rl.algorithms import grpo
from genrec.train.rl.groups import form_groups
from genrec.train.rl.learner import Learner
from genrec.train.rl.objective import Tokens
from tests.support.rl_runs import CONTEXT, make_groups, make_learner, make_prompts
from tests.support.rl_tiny import NUM_CODES, SIDS, VOCAB, tiny_policy


def flat_weights(learner: Learner) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in learner.parameters.values()])


def naive_log_probs(policy, history: np.ndarray, item: int) -> torch.Tensor:
    """One plain causal sequence a candidate, no 4-D mask, no padding: BOS, history, candidate."""
    context = [VOCAB.bos_token_id, *VOCAB.token_ids(SIDS[history[-policy.max_history :]]).reshape(-1).tolist()]
    tokens = torch.tensor([context + VOCAB.token_ids(SIDS[item]).tolist()])
    logits = policy.model(input_ids=tokens).logits[0, len(context) - 1 : -1]
    values = []
    for level, row in enumerate(logits):
        first = VOCAB.first_token_id + level * NUM_CODES
        values.append(row[first : first + NUM_CODES].log_softmax(-1)[SIDS[item][level]])
    return torch.stack(values)


@pytest.mark.parametrize("tied", [True, False])
def test_gradients_equal_those_of_one_sequence_a_candidate(tied):
    policy, prompts = tiny_policy(tied=tied), make_prompts()
    learner = make_learner(policy)
    groups = make_groups(learner, prompts)
    valid = groups.items >= 0
    generator = torch.Generator().manual_seed(0)
    advantage = torch.randn(valid.shape, generator=generator)
    sids = CONTEXT.sids[groups.items]
    old = torch.randn(sids.shape, generator=generator).mul_(0.1).sub_(1.5)

    def gradients(log_probs):
        policy.model.zero_grad()
        terms = grpo.loss(Tokens(log_probs, old, old, advantage.unsqueeze(-1), valid), grpo.Config())
        (terms.policy + 0.1 * terms.kl).mean().backward()
        return {name: p.grad.clone() for name, p in learner.parameters.items()}

    shared = policy.candidate_log_probs(policy.prompts(prompts.histories, SIDS), sids)
    naive = torch.stack(
        [
            torch.stack([naive_log_probs(policy, h, int(i)) for i in row])
            for h, row in zip(prompts.histories, groups.items, strict=True)
        ]
    )
    assert (shared - naive).abs().max() < 1e-5
    a, b = gradients(shared), gradients(naive)
    assert max((a[name] - b[name]).abs().max() for name in a) < 1e-5
    assert max(g.abs().max() for g in a.values()) > 1e-2


@pytest.mark.parametrize("settings", [{}, {"target_anchor": 0.1}, {"options": {"inner_steps": 2}}])
def test_micro_batches_add_up_to_the_whole_batch(settings):
    prompts = make_prompts()
    weights = []
    for micro_batch_size in (6, 4, 1):
        learner = make_learner(micro_batch_size=micro_batch_size, learning_rate=1e-3, **settings)
        learner.optimizer = torch.optim.SGD(learner.parameters.values(), lr=0.1)  # steps are the gradients themselves
        learner.update(0, prompts, make_groups(learner, prompts))
        weights.append(flat_weights(learner))
    assert (weights[0] - weights[1]).abs().max() < 1e-6
    assert (weights[0] - weights[2]).abs().max() < 1e-6
    assert (weights[0] - flat_weights(make_learner())).abs().max() > 1e-4


@pytest.mark.parametrize("inner_steps", [1, 2])
def test_an_update_that_runs_out_of_memory_is_the_same_in_smaller_forwards(inner_steps, monkeypatch):
    prompts, weights, sizes = make_prompts(), [], []
    settings = {"learning_rate": 1e-3, "target_anchor": 0.1, "options": {"inner_steps": inner_steps}}
    plain = type(make_learner().policy).candidate_scores

    def scores(self, batch, sids):
        found, hidden = plain(self, batch, sids)
        sizes.append(len(sids))
        if found.requires_grad and len(sids) > 2:
            found.register_hook(refuse)
        return found, hidden

    def refuse(gradient):
        raise torch.OutOfMemoryError("there is too little")

    for short in (False, True):
        learner = make_learner(micro_batch_size="auto", **settings)
        learner.optimizer = torch.optim.SGD(learner.parameters.values(), lr=0.1)
        with monkeypatch.context() as patch:
            if short:
                patch.setattr("genrec.model.policy.Policy.candidate_scores", scores)
            learner.update(0, prompts, make_groups(learner, prompts))
        weights.append(flat_weights(learner))
    assert learner.micro_batch.size < 64
    assert max(sizes) > 2
    assert (weights[0] - weights[1]).abs().max() < 1e-6


def test_the_reference_stays_the_model_training_started_from():
    learner, prompts = make_learner(learning_rate=1e-2, kl_coef=0.1), make_prompts()
    before = flat_weights(learner)
    assert learner.update(0, prompts, make_groups(learner, prompts))["kl"] == pytest.approx(0, abs=1e-9)
    after = flat_weights(learner)
    assert learner.update(1, prompts, make_groups(learner, prompts))["kl"] > 1e-5
    with learner.sharding.holding(learner.reference):
        assert torch.equal(flat_weights(learner), before)
    assert not torch.equal(after, before)


def test_the_kl_weight_is_steered_to_its_target():
    learner, prompts = make_learner(learning_rate=1e-2, kl_coef=0.1, kl_target=1e-4), make_prompts()
    weights = [learner.update(step, prompts, make_groups(learner, prompts))["kl_coef"] for step in range(3)]
    assert weights[0] == pytest.approx(0.1 * 0.98)  # no divergence yet
    assert weights[2] == pytest.approx(weights[1] * 1.02)  # far above


def test_a_strong_kl_term_holds_the_policy_back():
    def drift(kl_coef: float) -> float:
        learner, prompts = make_learner(learning_rate=3e-3, kl_coef=kl_coef), make_prompts()
        for step in range(12):
            groups = make_groups(learner, prompts)
            figures = learner.update(step, prompts, groups)
        return figures["kl"]

    assert drift(5.0) < 0.5 * drift(0.0)


def test_clipping_acts_from_the_second_inner_step_on():
    prompts = make_prompts()
    settings = {"learning_rate": 0.03, "kl_coef": 0.0}
    once = make_learner(**settings)
    assert once.update(0, prompts, make_groups(once, prompts))["clipped"] == 0
    tight = make_learner(options={"inner_steps": 4, "clip_epsilon": 0.01}, **settings)
    loose = make_learner(options={"inner_steps": 4, "clip_epsilon": 0.99}, **settings)
    groups = make_groups(tight, prompts)
    assert tight.update(0, prompts, groups)["clipped"] > 0.3
    loose.update(0, prompts, groups)
    start = flat_weights(make_learner())
    assert not torch.allclose(flat_weights(tight), flat_weights(loose))
    assert (flat_weights(tight) - start).abs().max() > 0


def test_learning_raises_the_probability_of_the_right_item():
    """Fails when the advantage has the wrong sign: the target would become less likely."""
    learner, prompts = make_learner(learning_rate=3e-3, empty_groups="repair", kl_coef=1e-3), make_prompts()
    sids = CONTEXT.sids[torch.from_numpy(prompts.target)][:, None]

    def probability() -> float:
        with torch.no_grad():
            batch = learner.policy.prompts(prompts.histories, SIDS)
            return learner.policy.candidate_log_probs(batch, sids).sum(-1).exp().mean().item()

    before, hit_rates = probability(), []
    for step in range(40):
        groups = make_groups(learner, prompts)
        hit_rates.append(groups.hit.float().mean().item())
        learner.update(step, prompts, groups)
    assert probability() > 3 * before
    assert np.mean(hit_rates[-5:]) > np.mean(hit_rates[:5])


def test_the_anchor_alone_raises_the_target():
    """Groups of equal rewards have no advantage, so only the anchor can teach."""
    learner = make_learner(
        learning_rate=3e-3, target_anchor=1.0, rewards=[{"name": "exact_hit", "weight": 0.0}], kl_coef=0.0
    )
    prompts = make_prompts()
    figures = [learner.update(s, prompts, make_groups(learner, prompts))["target_log_prob"] for s in range(15)]
    assert figures[-1] > figures[0] + 0.2


def test_skipped_groups_change_nothing():
    learner = make_learner(learning_rate=1e-2, empty_groups="skip")
    prompts = make_prompts()
    items = torch.arange(8).repeat(6, 1)
    target = torch.full((6,), 20)
    before = flat_weights(learner)
    figures = learner.update(0, prompts._replace(target=target.numpy()), form_groups(items, target, "skip"))
    assert figures["updated_groups"] == 0
    assert torch.equal(flat_weights(learner), before)
    target[2] = 3
    mixed = learner.update(1, prompts._replace(target=target.numpy()), form_groups(items, target, "skip"))
    assert mixed["updated_groups"] == 1
    assert not torch.equal(flat_weights(learner), before)


def test_a_loss_that_is_not_finite_is_named_and_changes_no_weight():
    learner, prompts = make_learner(learning_rate=1e-2), make_prompts()
    groups = make_groups(learner, prompts)
    with torch.no_grad():
        learner.policy.body.norm.weight[0] = torch.nan
    before = flat_weights(learner)
    with pytest.raises(TrainingError, match=r"rl: step 7: the loss is nan"):
        learner.update(7, prompts, groups)
    assert torch.equal(flat_weights(learner).nan_to_num(9.0), before.nan_to_num(9.0))


def test_memory_decides_how_many_prompts_a_forward_of_the_learner_has():
    class Gpu:
        """Room for 5 prompts at a time."""

        def free(self):
            return int(1e9)

        def peak_of(self, run):
            run()
            return int(run.args[0] * 0.85e9 / 5)

    prompts, weights = make_prompts(), []
    for memory in (None, Gpu()):
        learner = make_learner(micro_batch_size="auto", learning_rate=1e-3)
        learner._memory = memory
        learner.optimizer = torch.optim.SGD(learner.parameters.values(), lr=0.1)
        learner.update(0, prompts, make_groups(learner, prompts))
        weights.append(flat_weights(learner))
    assert learner.micro_batch.size in (4, 5)
    assert (weights[0] - weights[1]).abs().max() < 1e-6  # measuring left no trace
