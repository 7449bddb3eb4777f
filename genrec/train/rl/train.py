"""Reinforcement learning on top of the SFT model.

Each step: prompts cut from training sequences -> candidates of the current policy -> groups scored by the
rewards -> one update. What is returned is decided on validation, beside the SFT model (`genrec.train.rl.gate`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from genrec import tables
from genrec.progress import Progress, silent
from genrec.train.averaging import WeightAverage
from genrec.train.checkpoint import CheckpointClock
from genrec.train.learner_group import LearnerGroup
from genrec.train.rl.before_after import BeforeAfter
from genrec.train.rl.gate import Gate
from genrec.train.rl.groups import Groups, form_groups
from genrec.train.rl.learner import Learner
from genrec.train.rl.outcome import outcome, reward_notes
from genrec.train.rl.prompts import PromptSource
from genrec.train.rl.reward_context import read_context
from genrec.train.rl.rewarding import build_terms, notes, num_following, prepare, try_rewards
from genrec.train.rl.rollout import (
    LocalRollouts,
    Rollout,
    Rollouts,
    RolloutWorker,
    SharedRollouts,
    Weights,
    get_weights,
    load_policy,
)
from genrec.train.rl.state import RlState
from genrec.train.rl.teacher import build_teacher
from genrec.train.rl.valid_rewards import ValidRewards
from genrec.train.validation import Validation

if TYPE_CHECKING:
    from genrec.config import RlConfig

SHOWN = ("reward", "kl", "entropy", "hit_rate", "empty_groups", "distinct_items")  # live, beside the best NDCG@10


def train_rl(
    prepared: Path,
    sids: Path,
    sft: Path,
    base: Path | None,
    config: "RlConfig",
    *,
    max_history: int,
    seed: int,
    work: Path,
    out: Path,
    rollouts: Rollouts | None = None,
    rollouts_elsewhere: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train and write a model folder of the same kind as `sft` (weights or adapter, genrec.json) and the log.

    prepared: folder with train.parquet (prompts), valid.parquet (the gate) and catalogue.parquet. sids: sids.parquet.
    base: the folder an adapter in `sft` was trained on. work: checkpoints; a rerun with the same folder continues where
    it stopped. rollouts: generates candidates; None: the learner does. Without validation users nothing could tell an
    improvement, so nothing is trained.

    Returns {improved, best_step, steps, stop_reason, valid, valid_sft, first, last, gate, outcome, before_after,
    reward_notes, ...}: where no checkpoint passes the gate the weights written are those of the SFT model. Raises
    ConfigError, DataError or TrainingError.
    """
    policy, trie, table = load_policy(sft, base, sids, config, max_history)
    terms = build_terms(config.rewards)
    teacher = build_teacher(policy, config)
    ahead = max(policy.transition_window, num_following(terms), 0 if teacher is None else teacher.window)
    source = PromptSource(tables.TRAIN_FILE.path(prepared), seed, ahead)
    context = read_context(
        tables.CATALOGUE_FILE.path(prepared), table, source.event_names, policy.device, source.sequences
    )
    terms = prepare(terms, context)
    try_rewards(terms, context, config.group_size)
    validation = Validation(tables.VALID_FILE.path(prepared), config.max_valid_users, trie, table)
    group = LearnerGroup()
    drop_seen = config.rollout.seen_items == "drop"
    rewards = ValidRewards(tables.VALID_FILE.path(prepared), validation, terms, context)
    gate = Gate(config.gate, validation, rewards, group, drop_seen)
    learner = Learner(policy, config, terms, context, group)
    worker = RolloutWorker(policy, trie, table, config, seed, learner.sharding.moves_weights)
    if rollouts is None and not rollouts_elsewhere:
        rollouts = LocalRollouts(worker, group)
    else:
        rollouts = SharedRollouts(rollouts, worker, group)

    state = RlState.resume(work, learner.learned(), learner.optimizer, learner.sharding)
    if state is None:
        state = RlState(kl_coef=config.kl_coef)
        if len(validation):
            with learner.sharding.gathered():
                state.start(gate, *gate.start(policy))
        else:
            state.stop_reason = "no validation users"
    learner.kl_coef = state.kl_coef
    learner.set_pace(state.pace)
    if config.ema_decay and not state.average.tensors:
        state.average = WeightAverage.of(learner.parameters)
    _train(state, learner, source, rollouts, gate, config, work, progress)
    compared = {}
    if len(validation):
        before_after = BeforeAfter(prepared, validation, rewards, drop_seen)
        compared = _compare(state, learner, before_after, config.gate.confidence)
    state.restore_best(learner.parameters, otherwise=learner.reference)
    learner.sharding.gather()
    if not group.first:
        return {}
    judged = gate.summary(state.looks)
    summary = {
        **_summary(state, config, source),
        "gate": judged,
        "outcome": outcome(judged, state.best_step),
        "before_after": compared or None,
        "reward_notes": reward_notes(notes(terms, context), rewards.labels, compared, state.best_step),
    }
    if policy.items is not None and state.best_step:
        policy.items.forget_unseen(source.items)
    policy.save(out, kind="rl")
    for when, step in (("before", 0), ("after", state.leading_step)):
        epoch = step * config.prompts_per_step / source.num_users
        state.rows += [(step, epoch, f"{when}_{name}", value) for name, value in compared.get(when, {}).items()]
    state.write_log(out)
    return summary


def _train(
    state: RlState,
    learner: Learner,
    source: PromptSource,
    rollouts: Rollouts,
    gate: Gate,
    config: "RlConfig",
    work: Path,
    progress: Progress,
) -> None:
    sft_rows = None if state.sft_rows is None else state.sft_rows.numpy()
    clock = CheckpointClock(config.checkpoint_every_s)

    def weights() -> Weights:
        return get_weights(learner.policy.trainable_parameters(), learner.policy.forward_dtype)

    if state.stop_reason is None and state.step >= config.num_steps:
        state.stop_reason = "num_steps"
    while state.stop_reason is None:
        prompts = source.draw(state.step, config.prompts_per_step)
        with learner.sharding.gathered():
            rollout = rollouts(state.step, prompts, weights)
        device = learner.policy.device
        items, target = (torch.from_numpy(a).to(device) for a in (rollout.items, prompts.target))
        groups = form_groups(items, target, config.empty_groups)
        figures = {**learner.mean_rewards(prompts, items), **rollout_figures(rollout, groups)}
        figures |= learner.update(state.step, prompts, groups)
        state.step, state.kl_coef = state.step + 1, learner.kl_coef
        state.average.update(learner.parameters, state.step, config.ema_decay)
        epoch = state.step * config.prompts_per_step / source.num_users
        state.log(epoch, figures)
        if figures.get("kl", 0.0) > config.max_kl:
            state.stop_reason = "max_kl"
        elif state.step % config.eval_every == 0 or state.step == config.num_steps:
            with learner.sharding.holding(state.average.tensors), learner.sharding.gathered():
                verdict = gate(learner.policy, sft_rows)
                state.judged(epoch, gate, verdict, learner.parameters, config.patience)
            if config.gate.take_back and not verdict.guarded:
                state.take_back(learner.parameters, learner.reference)
                learner.set_pace(state.pace)
            if state.step == config.num_steps:
                state.stop_reason = state.stop_reason or "num_steps"
        if learner.sharding.saves(clock.is_due() or state.stop_reason is not None):
            clock.run(lambda: state.save(work, learner.learned(), learner.optimizer, learner.sharding))
        shown = {k: figures[k] for k in SHOWN if k in figures}
        progress(state.step, config.num_steps, f"step {state.step}", **shown, ndcg=state.best_ndcg or 0.0)


def _compare(state: RlState, learner: Learner, before_after: BeforeAfter, confidence: float) -> dict[str, Any]:
    """The SFT model and, where there is one, the leading checkpoint on validation; {} in all processes but the first."""

    def measure(weights: dict[str, torch.Tensor]) -> Any:
        with learner.sharding.holding(weights), learner.sharding.gathered():
            return before_after.measure(learner.policy) if learner.group.first else None

    before = measure(learner.reference)
    after = measure(state.best_weights) if state.leading_step else None
    if not learner.group.first:
        return {}
    about = {"step": state.leading_step, "returned": state.best_step > 0, "rows": len(before_after.validation)}
    if after is None:
        return {**about, "before": before_after.figures(before)}
    return {**about, **before_after.compare(before, after, confidence)}


def rollout_figures(rollout: Rollout, groups: Groups) -> dict[str, float]:
    """What the candidates of a step look like, before any repair.

    hit_rate: share of groups with the target. empty_groups: their complement, also a share. distinct_items: different
    items in the step. entropy: nats, mean over groups, of the candidates' probabilities normalised to 1 inside the
    group; it falls towards 0 as the policy collapses to one item. mass: mean over groups
    of the summed probabilities of the candidates (a share of all items when they are distinct, as from a beam).
    """
    present = rollout.items >= 0
    scores = np.where(present, rollout.log_probs.sum(axis=-1, dtype=np.float64), -np.inf)
    top = scores.max(axis=1, keepdims=True)
    weight = np.exp(scores - np.where(np.isfinite(top), top, 0.0))
    share = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1)
    return {
        "hit_rate": groups.hit.float().mean().item(),
        "empty_groups": (~groups.hit).float().mean().item(),
        "distinct_items": float(len(np.unique(rollout.items[present]))),
        "entropy": float(entropy.mean()),
        "mass": float(np.exp(scores).sum(axis=1).mean()),
    }


def _summary(state: RlState, config: "RlConfig", source: PromptSource) -> dict[str, Any]:
    figures = {step: {n: v for s, _, n, v in state.rows if s == step} for step in {1, state.step} if step > 0}
    return {
        "improved": state.best_step > 0,
        "best_step": state.best_step,
        "steps": state.step,
        "stop_reason": state.stop_reason,
        "num_users": source.num_users,
        "num_prompts": state.step * config.prompts_per_step,
        "valid_sft": state.sft,
        "valid": state.best or None,
        "first": figures.get(1, {}),
        "last": figures.get(state.step, {}),
    }
