"""One update of the policy from the candidates of a step, by one process or by several that share the micro-batches.

Letters: B prompts of a step, G candidates, L levels.
"""

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from genrec import variants
from genrec.errors import TrainingError
from genrec.model.policy import Policy
from genrec.train.fully_shard import divide
from genrec.train.learner_group import LearnerGroup
from genrec.train.micro_batch import MicroBatch, largest_forward, memory_of
from genrec.train.rl import algorithms
from genrec.train.rl.batch import Batch, Frozen, halves
from genrec.train.rl.groups import Groups
from genrec.train.rl.objective import Estimates, Loss, Tokens
from genrec.train.rl.prompts import PromptSet
from genrec.train.rl.reward_context import RewardContext
from genrec.train.rl.rewarding import Term, mean_rewards, total_reward
from genrec.train.rl.teacher import build_teacher
from genrec.train.rl.value_head import ValueHead

if TYPE_CHECKING:
    from genrec.config import RlConfig

_KL_GAIN = 0.1  # how fast the coefficient follows the target (Ziegler et al. 2019, arXiv 1909.08593, section 2.2)


class Learner:
    """Holds the policy, its optimizer and a frozen copy of the weights training started from (the reference).

    The reference is the SFT model. Where that is an adapter, it is the adapter as it was: switched off, the frozen
    base without any fine-tuning would be left. Raises ConfigError for a teacher that the model does not carry; `update`
    raises TrainingError for a loss or gradient that is not finite.
    """

    def __init__(
        self,
        policy: Policy,
        config: "RlConfig",
        terms: tuple[Term, ...],
        context: RewardContext,
        group: LearnerGroup | None = None,
    ) -> None:
        self.policy, self.config, self.terms, self.context = policy, config, terms, context
        self.group = group or LearnerGroup()
        self.kl_coef = config.kl_coef
        self.sids = context.sids.cpu().numpy()
        self.algorithm, self.options = variants.build(algorithms.PACKAGE, config.algorithm, config.options)
        self.teacher = build_teacher(policy, config)
        self.critic = None
        if self.algorithm.NEEDS_VALUES:
            self.critic = ValueHead(policy.causal_model.config.hidden_size).to(policy.device)
        heads = {} if self.critic is None else {"value_head": self.critic}
        self.sharding = divide(policy, self.group, config.sharding, heads)
        self.parameters = self.sharding.parameters
        self.reference = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.micro_batch = MicroBatch(config.micro_batch_size, "rl.micro_batch_size")
        self._memory = memory_of(policy.device)
        fused = policy.device.type == "cuda" or None  # None: as torch has it elsewhere
        self.optimizer = torch.optim.AdamW(
            self.learned().values(), lr=config.learning_rate, weight_decay=0.0, fused=fused
        )

    def learned(self) -> dict[str, nn.Parameter]:
        """The policy's trainable weights and those of the value head, where there is one."""
        return {**self.parameters, **self.sharding.heads}

    def set_pace(self, share: float) -> None:
        """Take a share of the configured learning rate from now on."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * share

    def mean_rewards(self, prompts: PromptSet, items: torch.Tensor) -> dict[str, float]:
        """Mean rewards (see `rewarding`) of candidates int64[B, G] as they were generated: a repair would hide misses."""
        target = torch.from_numpy(prompts.target).to(items.device)
        return mean_rewards(self.terms, items, target, self._context(prompts))

    def update(self, step: int, prompts: PromptSet, groups: Groups) -> dict[str, float]:
        """Train on the groups of a step (tensors on the policy's device); returns the figures of the update.

        Every kept prompt weighs the same, whatever the micro-batches. The old log-probabilities are those of the first
        inner step: candidates come from the very weights the step starts with, so computing them again would only
        repeat the forward.
        """
        rewards = total_reward(self.terms, groups.items, groups.target, self._context(prompts))
        figures = {"updated_groups": float(groups.kept.sum())}
        if not groups.kept.any():
            return figures
        batches = self._batches(prompts, groups)
        values = self._values(batches, groups)
        judged = self.algorithm.estimate(rewards, values, self._valid(groups), self.options)
        reference = self._judge(batches, groups)
        old: list[torch.Tensor] = []
        for inner in range(self.options.inner_steps):
            while True:
                try:
                    figures |= self._optimizer_step(step, inner, batches, groups, judged, values, reference, old)
                    break
                except torch.OutOfMemoryError:
                    if not self.micro_batch.may_halve(self.group):
                        raise
                self.optimizer.zero_grad(set_to_none=True)
                self.micro_batch.halve(max(len(batch.rows) for batch in batches))
                batches = [half for batch in batches for half in batch.halves()]
                reference = [half for part in reference for half in part.halves()]
                old = [half for part in old for half in halves(part)] if inner else []
        self._control_kl(figures["kl"])
        return figures | ({"kl_coef": self.kl_coef} if self.config.kl_target is not None else {})

    def _context(self, prompts: PromptSet) -> RewardContext:
        return self.context.for_prompts(
            prompts.histories, prompts.target_event, prompts.following, prompts.following_event
        )

    def _control_kl(self, kl: float) -> None:
        """Move the coefficient towards the target: at most 2% a step, up while the divergence is above it."""
        if self.config.kl_target is not None:
            error = max(-0.2, min(0.2, kl / self.config.kl_target - 1.0))
            self.kl_coef *= 1.0 + _KL_GAIN * error

    @staticmethod
    def _valid(groups: Groups) -> torch.Tensor:
        """bool[B, G]: the candidates that take part."""
        return (groups.items >= 0) & groups.kept[:, None]

    def _batches(self, prompts: PromptSet, groups: Groups) -> list[Batch]:
        """This process's micro-batches of the kept groups."""
        items = groups.items.clamp(min=0)
        if self.config.target_anchor > 0:
            items = torch.cat([items, groups.target[:, None]], dim=1)
        kept = groups.kept.nonzero().squeeze(1)
        self._fit_memory(items.shape[1])
        size = self.group.at_most(self.micro_batch.size, len(kept))
        batches = []
        for rows, counts, _ in self.sharding.turns(kept.split(size)):
            histories = [prompts.histories[i] for i in rows.tolist()]
            following = None if prompts.following is None else prompts.following[rows.cpu().numpy()]
            batch = self.policy.prompts(histories, self.sids, following)
            batches.append(Batch(batch, self.context.sids[items[rows]], rows, counts))
        return batches

    def _fit_memory(self, num_candidates: int) -> None:
        """Once, where the config leaves it to the memory: how many prompts, at their longest, a forward has."""
        memory, self._memory = self._memory, None
        if memory is None or not self.micro_batch.is_auto:
            return
        history = np.zeros(self.policy.max_history, dtype=np.int64)

        def run(size: int) -> None:
            prompts = self.policy.prompts([history] * size, self.sids)
            candidates = self.context.sids[:1].expand(size, num_candidates, -1)
            scores = self.sharding.forward(partial(self.policy.candidate_scores, prompts, candidates))[0]
            self.sharding.backward(scores.sum())

        trained = sum(p.numel() * p.element_size() for p in self.parameters.values())
        size = largest_forward(run, self.config.prompts_per_step, memory, reserve=2 * trained)
        self.sharding.sum_gradients()
        self.optimizer.zero_grad(set_to_none=True)
        self.micro_batch.measured(size, self.group, self.policy.device)

    @torch.no_grad()
    def _values(self, batches: list[Batch], groups: Groups) -> torch.Tensor | None:
        """The value head on every state of the step, float32[B, G, L] (0 for prompts left out); None without one."""
        critic = self.critic
        if critic is None:
            return None
        num_prompts, num_candidates = groups.items.shape
        values = torch.zeros(num_prompts, num_candidates, self.context.sids.shape[1], device=groups.items.device)

        def judge(batch: Batch) -> torch.Tensor:
            hidden = self.policy.candidate_scores(batch.prompts, batch.sids)[1]
            return critic(hidden[:, :num_candidates])

        for batch in batches:
            judged = self.sharding.forward(partial(judge, batch))
            if batch.counts:
                values[batch.rows] = judged
        return self.group.sum_(values)

    @torch.no_grad()
    def _judge(self, batches: list[Batch], groups: Groups) -> list[Frozen]:
        """Micro-batches in the eyes of the reference, which the teacher is a part of."""

        def judge(batch: Batch) -> Frozen:
            log_probs, hidden = self.policy.candidate_scores(batch.prompts, batch.sids)
            if self.teacher is None:
                return Frozen(log_probs, None)
            items = groups.items[batch.rows]
            own = log_probs[:, : items.shape[1]].sum(-1)
            return Frozen(log_probs, self.teacher.log_probs(hidden[:, 0, 0], batch.prompts, items, own))

        with self.sharding.holding(self.reference):
            return [self.sharding.forward(partial(judge, batch)) for batch in batches]

    def _optimizer_step(
        self,
        step: int,
        inner: int,
        batches: list[Batch],
        groups: Groups,
        judged: Estimates,
        old_values: torch.Tensor | None,
        reference: list[Frozen],
        old: list[torch.Tensor],
    ) -> dict[str, float]:
        """One step of the optimizer on all micro-batches; fills `old` when inner is 0."""
        num_prompts = int(groups.kept.sum())
        num_candidates = groups.items.shape[1]
        valid = self._valid(groups)
        names = ["loss", "kl", "clipped"]
        names += ["target_log_prob"] if self.config.target_anchor > 0 else []
        names += ["value_loss"] if self.critic is not None else []
        sums = dict.fromkeys(names, 0.0)
        found: list[torch.Tensor] = []
        self.optimizer.zero_grad(set_to_none=True)
        for place, batch in enumerate(batches):
            log_probs, hidden = self.sharding.forward(partial(self.policy.candidate_scores, batch.prompts, batch.sids))
            if inner == 0:
                old.append(log_probs.detach())
            rows = batch.rows
            tokens = Tokens(
                log_probs=log_probs[:, :num_candidates],
                old_log_probs=old[place][:, :num_candidates],
                reference_log_probs=reference[place].log_probs[:, :num_candidates],
                advantage=judged.advantage[rows],
                valid=valid[rows],
                values=None if self.critic is None else self._new_values(hidden[:, :num_candidates]),
                old_values=None if old_values is None else old_values[rows],
                returns=None if judged.returns is None else judged.returns[rows],
                teacher=reference[place].teacher,
            )
            terms = self.algorithm.loss(tokens, self.options)
            value, parts = self._objective(terms, log_probs)
            value = value * batch.counts / num_prompts
            self.sharding.backward(value, last=place + 1 == len(batches))
            figures = torch.stack([value.detach() * num_prompts, *(parts[name] for name in names[1:])])
            found.append(figures * batch.counts)
        # Read together: a device is waited for once a step.
        for batch, values in zip(batches, torch.stack(found).tolist() if found else [], strict=True):
            if not math.isfinite(values[0]):
                raise TrainingError(
                    f"rl: step {step}: the loss is {values[0]} (prompts {int(batch.rows[0])}..{int(batch.rows[-1])} of "
                    "the step); no weight was changed by it. Lower rl.learning_rate"
                )
            for name, part in zip(names, values, strict=True):
                sums[name] += part / num_prompts
        self.sharding.sum_gradients()
        totals = self.group.sum_floats(sums.values(), self.policy.device)
        norm = self._clip_gradients(step, inner)
        self.optimizer.step()
        self.sharding.refresh()
        return {**dict(zip(sums, totals, strict=True)), "grad_norm": norm}

    def _new_values(self, hidden: torch.Tensor) -> torch.Tensor:
        assert self.critic is not None
        return self.critic(hidden if self.options.value_trains_body else hidden.detach())

    def _objective(self, terms: Loss, log_probs: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """What is minimised, and its parts for the log, summed over the prompts of a micro-batch."""
        value = (terms.policy + self.kl_coef * terms.kl).sum()
        parts = {"kl": terms.kl.detach().sum(), "clipped": terms.clipped.sum()}
        if terms.value is not None:
            value = value + terms.value.sum()
            parts["value_loss"] = terms.value.detach().sum()
        if self.config.target_anchor > 0:
            target_log_prob = log_probs[:, -1].mean(dim=-1).sum()  # per token, as the other terms
            value = value - self.config.target_anchor * target_log_prob
            parts["target_log_prob"] = target_log_prob.detach()
        return value, parts

    def _clip_gradients(self, step: int, inner: int) -> float:
        """Clip the policy's gradient and the value head's, each for itself; returns the policy's norm before."""
        limit = self.config.max_grad_norm
        learned = [self.parameters, *([self.sharding.heads] if self.sharding.heads else [])]
        norms = [self.sharding.clip(parameters.values(), limit).item() for parameters in learned]
        if not all(math.isfinite(norm) for norm in norms):
            raise TrainingError(
                f"rl: step {step}: the gradient's norm is {norms[0]} (inner step {inner}); no weight was changed by "
                "it. Lower rl.learning_rate"
            )
        return norms[0]
