"""One update of the policy from the candidates of a step.

Letters: B prompts of a step, G candidates, L levels.
"""

import contextlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from genrec import variants
from genrec.errors import TrainingError
from genrec.lm.policy import Policy, PromptBatch
from genrec.rl.groups import Groups
from genrec.rl.prompts import PromptSet
from genrec.rl.rewards.compose import Term, mean_rewards, total_reward
from genrec.rl.rewards.context import RewardContext

if TYPE_CHECKING:
    from genrec.config import RlConfig


class Batch(NamedTuple):
    """A micro-batch of kept groups, on the policy's device. b prompts; g = G, or G + 1 when the target is appended."""

    prompts: PromptBatch
    sids: torch.Tensor  # int64[b, g, L]
    valid: torch.Tensor  # bool[b, G]
    advantage: torch.Tensor  # float32[b, G]
    rows: np.ndarray  # places of the prompts in the step, for messages


class Learner:
    """Holds the policy, its optimizer and a frozen copy of the weights training started from (the reference).

    Raises nothing at construction; `update` raises TrainingError for a loss or gradient that is not finite.
    """

    def __init__(self, policy: Policy, config: "RlConfig", terms: tuple[Term, ...], context: RewardContext) -> None:
        self.policy, self.config, self.terms, self.context = policy, config, terms, context
        self.sids = context.sids.cpu().numpy()
        self.algorithm, self.options = variants.build("genrec.rl", config.algorithm, config.options)
        self.parameters = policy.trainable_parameters()
        self.reference = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.optimizer = torch.optim.AdamW(self.parameters.values(), lr=config.learning_rate, weight_decay=0.0)

    @contextlib.contextmanager
    def reference_weights(self) -> Iterator[None]:
        """Inside, the policy is the reference. Only the trainable weights are held twice, never the whole model."""
        current = {name: p.data for name, p in self.parameters.items()}
        try:
            for name, parameter in self.parameters.items():
                parameter.data = self.reference[name]
            yield
        finally:
            for name, parameter in self.parameters.items():
                parameter.data = current[name]

    def mean_rewards(self, prompts: PromptSet, items: torch.Tensor) -> dict[str, float]:
        """Mean rewards (see `compose`) of candidates int64[B, G] as they were generated: a repair would hide misses."""
        target = torch.from_numpy(prompts.target).to(items.device)
        return mean_rewards(
            self.terms, items, target, self.context.for_prompts(prompts.histories, prompts.target_event)
        )

    def update(self, step: int, prompts: PromptSet, groups: Groups) -> dict[str, float]:
        """Train on the groups of a step (tensors on the policy's device); returns the figures of the update.

        Every kept prompt weighs the same, whatever the micro-batches. The old log-probabilities are those of the first
        inner step: candidates come from the very weights the step starts with, so computing them again would only
        repeat the forward.
        """
        valid = groups.items >= 0
        context = self.context.for_prompts(prompts.histories, prompts.target_event)
        rewards = total_reward(self.terms, groups.items, groups.target, context)
        advantage = self.algorithm.advantages(rewards, valid, self.options)
        figures = {"updated_groups": float(groups.kept.sum())}
        batches = self._batches(prompts, groups, valid, advantage)
        if not batches:
            return figures
        reference = self._reference_log_probs(batches)
        old: list[torch.Tensor] = []
        for inner in range(self.options.inner_steps):
            figures |= self._optimizer_step(step, inner, batches, reference, old)
        return figures

    def _batches(self, prompts: PromptSet, groups: Groups, valid: torch.Tensor, advantage: torch.Tensor) -> list[Batch]:
        kept = groups.kept.nonzero().squeeze(1)
        items = groups.items.clamp(min=0)
        if self.config.target_anchor > 0:
            items = torch.cat([items, groups.target[:, None]], dim=1)
        batches = []
        for rows in kept.split(self.config.micro_batch_size):
            places = rows.cpu().numpy()
            if len(places):
                prompt_batch = self.policy.prompts([prompts.histories[i] for i in places], self.sids)
                batches.append(
                    Batch(prompt_batch, self.context.sids[items[rows]], valid[rows], advantage[rows], places)
                )
        return batches

    def _log_probs(self, batch: Batch) -> torch.Tensor:
        """float32[b, g, L] under the policy's present weights."""
        return self.policy.candidate_log_probs(batch.prompts, batch.sids)

    @torch.no_grad()
    def _reference_log_probs(self, batches: list[Batch]) -> list[torch.Tensor]:
        with self.reference_weights():
            return [self._log_probs(batch) for batch in batches]

    def _optimizer_step(
        self, step: int, inner: int, batches: list[Batch], reference: list[torch.Tensor], old: list[torch.Tensor]
    ) -> dict[str, float]:
        """One step of the optimizer on all micro-batches; fills `old` when inner is 0."""
        config, num_prompts = self.config, sum(len(b.rows) for b in batches)
        sums = dict.fromkeys(("loss", "kl", "clipped", "target_log_prob"), 0.0)
        self.optimizer.zero_grad(set_to_none=True)
        for place, batch in enumerate(batches):
            log_probs = self._log_probs(batch)
            if inner == 0:
                old.append(log_probs.detach())
            num_candidates = batch.valid.shape[1]
            shown = [t[:, :num_candidates] for t in (log_probs, old[place], reference[place])]
            terms = self.algorithm.loss(*shown, batch.advantage, batch.valid, self.options)
            value = (terms.policy + config.kl_coef * terms.kl).sum()
            if config.target_anchor > 0:
                target_log_prob = log_probs[:, -1].mean(dim=-1).sum()  # per token, as the other terms
                value = value - config.target_anchor * target_log_prob
                sums["target_log_prob"] += target_log_prob.item()
            value = value / num_prompts
            if not torch.isfinite(value):
                raise TrainingError(
                    f"rl: step {step}: the loss is {value.item()} (prompts {batch.rows[0]}..{batch.rows[-1]} of the "
                    "step); no weight was changed by it. Lower rl.learning_rate"
                )
            value.backward()
            sums["loss"] += value.item()
            sums["kl"] += terms.kl.detach().sum().item() / num_prompts
            sums["clipped"] += terms.clipped.sum().item() / num_prompts
        if config.target_anchor > 0:
            sums["target_log_prob"] /= num_prompts
        else:
            del sums["target_log_prob"]
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), config.max_grad_norm).item()
        if not math.isfinite(norm):
            raise TrainingError(
                f"rl: step {step}: the gradient's norm is {norm} (inner step {inner}); no weight was changed by it. "
                "Lower rl.learning_rate"
            )
        self.optimizer.step()
        return sums | {"grad_norm": norm}
