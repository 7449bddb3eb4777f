"""The training loop of supervised fine-tuning: epochs, optimizer steps, accumulated gradients, checkpoints."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from genrec import variants
from genrec.model.policy import Policy
from genrec.model.precision import compile_layers, compute_dtype, recompute_activations
from genrec.progress import Progress, silent
from genrec.train.averaging import WeightAverage
from genrec.train.checkpoint import CheckpointClock
from genrec.train.checkpoint_writer import CheckpointWriter
from genrec.train.fully_shard import divide
from genrec.train.learner_group import LearnerGroup
from genrec.train.micro_batch import MicroBatch, memory_of
from genrec.train.sft import losses, samplers, touched_rows
from genrec.train.sft.alignment import Alignment
from genrec.train.sft.finite import FiniteCheck
from genrec.train.sft.forwards import Forward, cut, cut_evenly, pack
from genrec.train.sft.memory import fit_memory
from genrec.train.sft.optim import learning_rate, make_optimizer
from genrec.train.sft.sampled_softmax import DenseLoss, sampler_for
from genrec.train.sft.state import SftState
from genrec.train.sft.windows import Windows, shuffled_batches
from genrec.train.validation import Validation

if TYPE_CHECKING:
    from genrec.config import SftConfig

_LOG_POINTS = 500  # rows of each training figure in the log, about
_SECOND_PASS, _AUGMENT, _ALIGN, _DROPOUT, _REPEATS = 1, 2, 3, 4, 5  # streams of an epoch beside that of its order


class Trainer:
    """Optimizer steps over epochs, with gradients accumulated to the effective batch.

    Inside a torch.distributed group the processes share the forwards of every batch (`genrec.train.learner_group`); the first
    one validates and writes checkpoints.
    """

    def __init__(
        self,
        policy: Policy,
        windows: Windows,
        sids: np.ndarray,
        config: "SftConfig",
        seed: int,
        alignment: Alignment | None = None,
    ) -> None:
        """`sids` int[N, L]. Dropout and trainable parameters of `policy` are set up here."""
        self.alignment = alignment
        self.group = LearnerGroup()
        self.policy, self.windows, self.config, self.seed = policy, windows, config, seed
        self.codes = torch.from_numpy(sids.astype(np.int64)).to(policy.device)
        self._loss, self._loss_options = variants.build(losses.PACKAGE, config.loss.name, config.loss.options)
        self._sampler, self._sampler_options = variants.build(
            samplers.PACKAGE, config.sampler.name, config.sampler.options
        )
        counts = np.bincount(windows.items, minlength=len(sids))
        weights = self._sampler.target_weights(counts, self._sampler_options)
        if hasattr(self._loss, "target_weights"):
            weights = weights * self._loss.target_weights(counts, self._loss_options)
        self._target_weights = torch.from_numpy(weights)
        sampler = sampler_for(counts, config.dense_head.sampled_items)
        self._by_rows = touched_rows.give_row_gradients(policy, config, self.group.size, sampler is not None)
        shared = self._by_rows is not None and config.dense_head.loss_weight > 0
        self._dense_loss = DenseLoss(policy, sampler, by_batch=shared)
        times = 0.0
        if hasattr(self._sampler, "drawn_again"):
            wanted, times = self._sampler.drawn_again(counts, self._sampler_options)
            self.windows = windows.with_repeats(wanted)
        policy.forward_dtype = policy.search_dtype = compute_dtype(config.precision, policy.device, "sft.precision")
        policy.set_dropout(config.dropout)
        policy.model.train()  # all of it: a fresh adapter is in train mode around a base that is not
        if config.gradient_checkpointing is True:
            recompute_activations(policy.model, policy.precision)
        if config.compile and policy.device.type == "cuda":
            compile_layers(policy.body)
        self.sharding = divide(policy, self.group, config.sharding)
        self.parameters = self.sharding.parameters
        self.packed = policy.can_pack  # forwards without padding
        self.micro_batch = MicroBatch(config.micro_batch_size, "sft.micro_batch_size")
        self._memory = memory_of(policy.device)
        self.writer = CheckpointWriter(policy.device)
        self.optimizer = make_optimizer(self.parameters, config, by_rows=self._by_rows)
        self.finite = FiniteCheck(self.optimizer, policy.device)
        num_extra = self._sampler.num_extra(len(windows), self._sampler_options)
        self._first_pass = len(windows) + round(times * self.windows.num_repeats)  # windows
        self.steps_per_epoch = sum(-(-n // config.batch_size) for n in (self._first_pass, num_extra))
        self.total_steps = self.steps_per_epoch * config.epochs
        self.state = SftState()

    def fit(self, validation: Validation, work: Path, progress: Progress = silent) -> None:
        """Train to the last epoch or until validation stops improving, from the checkpoint in `work` if there is one."""
        with self.writer:
            self._fit(validation, work, progress)

    def _fit(self, validation: Validation, work: Path, progress: Progress) -> None:
        self.state = state = SftState.resume(work, self.parameters, self.optimizer, self.sharding) or SftState()
        if self.config.ema_decay and not state.average.tensors:
            state.average = WeightAverage.of(self.parameters)
        if not len(state.window_losses):
            state.window_losses = torch.zeros(len(self.windows))
        clock = CheckpointClock(self.config.checkpoint_every_s)
        log_every = max(1, self.total_steps // _LOG_POINTS)
        ndcg = {} if state.best_ndcg is None else {"ndcg": state.best_ndcg}
        while state.stop_reason is None:
            for rows in self._remaining_batches():
                rate = learning_rate(state.step, self.total_steps, self.config)
                parts = self.step(rows, rate)
                state.step += 1
                state.batch += 1
                state.average.update(self.parameters, state.step, self.config.ema_decay)
                if state.step % log_every == 0:
                    state.log(state.epoch + state.batch / self.steps_per_epoch, self._figures(parts, rate))
                note = f"epoch {state.epoch + 1}"
                loss = {} if self.finite.loss is None else {"loss": self.finite.loss}
                progress(state.step, self.total_steps, note, **loss, **ndcg)
                if state.batch < self.steps_per_epoch and self.sharding.saves(
                    clock.is_due(self.writer.seconds) and not self.writer.busy
                ):
                    self.finite.settle()
                    clock.run(lambda: state.save(work, self.parameters, self.optimizer, self.sharding, self.writer))
            self.finite.settle()
            state.epoch, state.batch = state.epoch + 1, 0
            if state.epoch == self.config.epochs:
                state.stop_reason = "epochs"
            if len(validation):
                with self.sharding.holding(state.average.tensors), self.sharding.gathered():
                    hr, value = validation.in_group(self.group, self.policy)
                    state.validated(float(state.epoch), hr, value, self.parameters, self.config.patience)
                ndcg = {"ndcg": value}
            if self.sharding.saves(True):
                clock.run(lambda: state.save(work, self.parameters, self.optimizer, self.sharding, self.writer))

    def _remaining_batches(self) -> Iterator[np.ndarray]:
        """Windows of the steps that this epoch still has: the first pass, then the sampler's second pass."""
        state, size, seed = self.state, self.config.batch_size, [self.seed, self.state.epoch]
        rows = self.windows.rows_of_epoch(self._first_pass, np.random.default_rng([*seed, _REPEATS]))
        first = shuffled_batches(rows, size, np.random.default_rng(seed))
        yield from first[state.batch :]
        losses = state.window_losses[: self.windows.num_plain].numpy()
        again = self._sampler.second_pass(losses, self._sampler_options)
        second = shuffled_batches(again, size, np.random.default_rng([*seed, _SECOND_PASS]))
        yield from second[state.batch - len(first) :]

    def step(self, rows: np.ndarray, rate: float) -> torch.Tensor:
        """One optimizer step on windows `rows`; returns the mean of each loss (see `accumulate`).

        Raises TrainingError when a loss or gradient is not finite, without having touched the weights; on a GPU perhaps a
        step later (`FiniteCheck`).
        """
        self.policy.model.train()
        if self.group.size > 1:  # other dropout in every process, the same after a resumption
            torch.manual_seed(int(self._rng(_DROPOUT, self.group.rank).integers(2**62)))
        parts = self.accumulate(rows, self._rng(_AUGMENT))
        if self.alignment is not None:
            aligned = self.sharding.forward(partial(self.alignment.losses, self._rng(_ALIGN)))
            aligned = aligned / self.group.size  # all read the same batch of texts
            self.sharding.backward(aligned.sum())
            parts = torch.cat([parts, aligned.detach()])
        self.sharding.sum_gradients()
        self.group.sum_(parts)
        clip = self.sharding.clip if self._by_rows is None else partial(touched_rows.clip, apart=self._by_rows)
        norm = clip(self.parameters.values(), self.config.max_grad_norm)
        state = self.state
        self.finite.before_update(parts, norm, f"step {state.step} (epoch {state.epoch}, batch {state.batch})")
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.writer.before_update()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.sharding.refresh()
        return parts

    def accumulate(self, rows: np.ndarray, rng: np.random.Generator | None = None) -> torch.Tensor:
        """Add the gradients of a whole batch, forward by forward.

        Returns the mean loss of each level and, with a dense head, its weighted loss: float32[L] or [L + 1], in nats.
        Alignment takes its share of the gradients, not of what is returned.
        Every forward is divided by the weight of the targets of the whole batch, so the sum is the gradient of one big
        forward; of several processes, each adds its share of it. `rng` draws which windows are reversed and which items
        left out; None leaves all as they are.
        """
        forwards = self._cut(rows, rng)
        weights = [self._target_weights[f.items[f.targets]] for f in forwards]
        # Windows whose targets were all left out may leave a batch with nothing to learn.
        total_weight = max(sum(float(w.sum()) for w in weights), torch.finfo(torch.float32).tiny)
        while True:
            try:
                with self._dense_loss.batch():
                    return self._add_gradients(rows, forwards, total_weight)
            except torch.OutOfMemoryError:
                if not self.micro_batch.may_halve(self.group):
                    raise
            self.optimizer.zero_grad()
            self.micro_batch.halve(max(len(forward.rows) for forward in forwards))
            forwards = [half for forward in forwards for half in forward.halves()]

    def _cut(self, rows: np.ndarray, rng: np.random.Generator | None) -> list[Forward]:
        """The forwards of a batch, of all processes."""
        self._fit_memory()
        if not (self.packed or self.micro_batch.is_auto):
            size = self.group.at_most(self.micro_batch.size, len(rows))
            return cut(self.windows, rows, self.config, rng, size)
        size = self.group.at_most(len(rows) if self.micro_batch.is_auto else self.micro_batch.size, len(rows))
        longest = int(self.windows.lengths.max())
        most = self.micro_batch.size * longest if self.micro_batch.is_auto else None
        return cut_evenly(self.windows, rows, self.config, rng, size, most, self.packed)

    def _add_gradients(self, rows: np.ndarray, forwards: list[Forward], total_weight: float) -> torch.Tensor:
        """Forwards and backwards of this process's share of a batch; returns its share of the mean losses."""
        device = self.policy.device
        total = torch.zeros(self.codes.shape[1] + (self.config.dense_head.loss_weight > 0), device=device)
        share = 1 - (0.0 if self.alignment is None else self.alignment.total)
        notes = torch.zeros(len(self.windows) if self._notes_losses() else 0)
        for (part, items, targets), counts, last in self.sharding.turns(forwards):
            values = self.sharding.forward(partial(self._losses, items, targets))
            if counts:
                self._note_losses(notes, part, values.detach(), targets)
            weights = self._target_weights[items[targets]].to(device, non_blocking=True) * counts
            weighted = (values * weights.unsqueeze(1)).sum(0) / total_weight
            self.sharding.backward(share * weighted.sum(), last and self.alignment is None)
            total += weighted.detach()
        if len(notes):
            noted = torch.from_numpy(rows)
            self.state.window_losses[noted] = self.group.sum_(notes[noted].to(total.device)).cpu()
        return total

    def _fit_memory(self) -> None:
        """Once, where the config leaves it to the memory: how many windows a forward has, and whether to recompute."""
        memory, self._memory = self._memory, None
        config, windows = self.config, self.windows
        if memory is None or not (self.micro_batch.is_auto or config.gradient_checkpointing == "auto"):
            return
        longest = int(windows.lengths.argmax())

        def run(size: int) -> None:
            items, targets = (torch.from_numpy(a) for a in windows.gather(np.full(size, longest)))
            self.sharding.backward(self.sharding.forward(partial(self._losses, items, targets)).sum())

        was_training = self.policy.model.training
        self.policy.model.train()
        # The optimizer's states; and whole gradients, which divided states leave until the end of a step.
        trained = sum(p.numel() * p.element_size() for p in self.parameters.values())  # this process's share
        reserve = 2 * trained + (trained * self.group.size if config.sharding == "optimizer" else 0)
        width = int(windows.lengths[longest]) * self.codes.shape[1]
        with torch.random.fork_rng([self.policy.device] if self.policy.device.type == "cuda" else []):
            size = fit_memory(self.policy, config, self.micro_batch, memory, run, width, reserve)
        self.sharding.sum_gradients()
        self.optimizer.zero_grad()
        self.policy.model.train(was_training)
        if self.micro_batch.is_auto:
            self.micro_batch.measured(size, self.group, self.policy.device)

    def _losses(self, items: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """float32[T, L] or [T, L + 1] of the targets, bool[B, M], among items int64[B, M], both on the CPU."""
        hidden, wanted = self._hidden(items, targets)
        with self.policy.precision():
            logits = self.policy.code_logits(hidden, self.codes[wanted])
        parts = self._loss.loss(logits, self.codes[wanted], self._loss_options)
        weight = self.config.dense_head.loss_weight
        if not weight:
            return parts
        return torch.cat([parts, weight * self._dense_loss(hidden[:, 0], wanted).unsqueeze(1)], dim=1)

    def _hidden(self, items: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The states [T, L, D] that predict the targets' codes, and the targets int64[T], on the policy's device."""
        device = self.codes.device
        if self.packed:
            packed = pack(items, targets)
            chosen, places = (t.to(device, non_blocking=True) for t in (packed.items, packed.places))
            return self.policy.packed_hidden(self.codes[chosen], packed.lengths)[places], chosen[places]
        places = targets.flatten().nonzero().squeeze(1).to(device)
        items = items.to(device)
        wanted = items.flatten()[places]
        return self.policy.sequence_hidden(self.codes[items], items).flatten(0, 1)[places], wanted

    def _notes_losses(self) -> bool:
        """Whether the sampler will want the losses of this batch: it reads again, and this is the first pass."""
        first_pass = -(-self._first_pass // self.config.batch_size)
        return self.steps_per_epoch > first_pass and self.state.batch < first_pass

    @staticmethod
    def _note_losses(notes: torch.Tensor, rows: np.ndarray, parts: torch.Tensor, targets: torch.Tensor) -> None:
        """Keep each window's mean loss, for the sampler, where it needs them."""
        if not len(notes):
            return
        window = targets.nonzero()[:, 0]
        sums = torch.zeros(len(rows)).index_add_(0, window, parts.sum(1).cpu())
        notes[torch.from_numpy(rows)] = sums / targets.sum(1).clamp_min(1)

    def _rng(self, stream: int, *more: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.state.epoch, stream, self.state.batch, *more])

    def _figures(self, parts: torch.Tensor, rate: float) -> dict[str, float]:
        names = [f"loss_level_{level}" for level in range(self.codes.shape[1])]
        names += ["loss_dense"] if self.config.dense_head.loss_weight else []
        names += [f"loss_{name}" for name in self.alignment.names] if self.alignment is not None else []
        by_part = {name: float(value) for name, value in zip(names, parts, strict=True)}
        return {"loss": float(parts.sum()), **by_part, "learning_rate": rate}
