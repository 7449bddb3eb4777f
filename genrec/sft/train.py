"""Supervised fine-tuning: the model learns to write the next item's semantic id.

One pass per user: a history's ids in order with a loss at every item (DTI, OneRec-V2), instead of one row per target.
What the model sees at a target is what an evaluation prompt shows: BOS, then the last max_history items.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch

from genrec import schemas
from genrec.columns import read_sids
from genrec.errors import DataError, TrainingError
from genrec.lm import adapter, folder
from genrec.lm.policy import Policy, default_device
from genrec.lm.seeding import seeded
from genrec.lm.trie import Trie
from genrec.lm.validation import Validation
from genrec.progress import Progress, silent
from genrec.sft.cross_entropy import cross_entropy
from genrec.sft.optim import learning_rate, make_optimizer
from genrec.sft.state import State
from genrec.sft.windows import Windows, epoch_batches, make_windows, micro_batches

if TYPE_CHECKING:
    from genrec.config import SftConfig

LOG_FILE = "training_log.parquet"
_LOG_POINTS = 500  # rows of each training figure in the log, about


def train_sft(
    prepared: Path,
    sids: Path,
    base: Path,
    config: "SftConfig",
    *,
    max_history: int,
    seed: int,
    work: Path,
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Fine-tune `base` and write the model of the best validation, or its adapter, and the training log to `out`.

    `prepared` holds train.parquet and valid.parquet; `sids` is sids.parquet. Checkpoints go to `work`, and a rerun
    with the same folder goes on where it stopped (on one CPU thread in fp32: to the same bits). Returns a summary.
    Raises DataError for unusable inputs and TrainingError when a loss or gradient is not finite.
    """
    table = read_sids(sids).astype(np.int64)
    device = default_device()
    with seeded(seed):
        policy = load_policy(base, config, max_history, seed, device)
        trie = Trie.from_sids(table, policy.vocab.num_codes, device)
        windows = read_windows(prepared / "train.parquet", max_history)
        validation = Validation(prepared / "valid.parquet", config.max_valid_users, trie, table)
        trainer = Trainer(policy, windows, table, config, seed)
        trainer.fit(validation, work, progress)
    state = trainer.state
    state.restore_best(trainer.parameters)
    policy.save(out, kind="sft", adapter=config.adapter)
    columns = [list(column) for column in zip(*state.rows, strict=True)]
    log = pa.table(dict(zip(schemas.TRAINING_LOG.names, columns, strict=True)))
    schemas.write_table(log, out / LOG_FILE, schemas.TRAINING_LOG)
    return {
        "windows": len(windows),
        "targets": windows.num_targets,
        "epochs": state.epoch,
        "steps": state.step,
        "stop_reason": state.stop_reason,
        "best_epoch": state.best_epoch,
        "valid_users": len(validation),
        "valid_hr@10": state.best_hr if len(validation) else None,
        "valid_ndcg@10": state.best_ndcg if len(validation) else None,
        "trainable_share": adapter.trainable_share(policy.model),
    }


class Trainer:
    """Optimizer steps over epochs, with gradients accumulated to the effective batch."""

    def __init__(self, policy: Policy, windows: Windows, sids: np.ndarray, config: "SftConfig", seed: int) -> None:
        """`sids` int[N, L]. Dropout and trainable parameters of `policy` are set up here."""
        self.policy, self.windows, self.config, self.seed = policy, windows, config, seed
        self.codes = torch.from_numpy(sids.astype(np.int64)).to(policy.device)
        policy.autocast = config.precision == "bf16"
        policy.set_dropout(config.dropout)
        if config.gradient_checkpointing:
            policy.model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
        self.parameters = policy.trainable_parameters()
        self.optimizer = make_optimizer(self.parameters, config)
        self.steps_per_epoch = -(-len(windows) // config.batch_size)
        self.total_steps = self.steps_per_epoch * config.epochs
        self.state = State()

    def fit(self, validation: Validation, work: Path, progress: Progress = silent) -> None:
        """Train to the last epoch or until validation stops improving, from the checkpoint in `work` if there is one."""
        self.state = state = State.resume(work, self.parameters, self.optimizer) or State()
        clock = _CheckpointClock(self.config.checkpoint_every_s)
        log_every = max(1, self.total_steps // _LOG_POINTS)
        ndcg = {"ndcg": state.best_ndcg} if state.best_epoch else {}
        while state.stop_reason is None:
            batches = epoch_batches(self.windows, self.config.batch_size, self.seed, state.epoch)
            for rows in batches[state.batch :]:
                rate = learning_rate(state.step, self.total_steps, self.config)
                losses = self.step(rows, rate)
                state.step += 1
                state.batch += 1
                if state.step % log_every == 0:
                    state.log(state.epoch + state.batch / len(batches), self._figures(losses, rate))
                note = f"epoch {state.epoch + 1}"
                progress(state.step, self.total_steps, note, loss=float(losses.sum()), **ndcg)
                if state.batch < len(batches) and clock.is_due():
                    clock.run(lambda: state.save(work, self.parameters, self.optimizer))
            state.epoch, state.batch = state.epoch + 1, 0
            if state.epoch == self.config.epochs:
                state.stop_reason = "epochs"
            if len(validation):
                hr, value = validation(self.policy)
                state.validated(hr, value, self.parameters, self.config.patience)
                ndcg = {"ndcg": value}
            clock.run(lambda: state.save(work, self.parameters, self.optimizer))

    def step(self, rows: np.ndarray, rate: float) -> torch.Tensor:
        """One optimizer step on windows `rows`; returns the mean loss of each level, float32[L], in nats.

        Raises TrainingError before the weights are touched when a loss or gradient is not finite.
        """
        self.policy.model.train()
        losses = self.accumulate(rows)
        norm = torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), self.config.max_grad_norm)
        if not (torch.isfinite(losses).all() and torch.isfinite(norm)):
            self.optimizer.zero_grad()
            raise TrainingError(
                f"sft: loss {losses.sum().item():.4g}, gradient norm {norm.item():.4g} at step {self.state.step} (epoch "
                f"{self.state.epoch}, batch {self.state.batch}); lower sft.learning_rate or use sft.precision fp32"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        return losses

    def accumulate(self, rows: np.ndarray) -> torch.Tensor:
        """Add the gradients of a whole batch, forward by forward; returns the mean loss of each level, float32[L].

        Every forward is divided by the targets of the whole batch, so the sum is the gradient of one big forward.
        """
        num_targets = int((self.windows.end[rows] - self.windows.first_target[rows]).sum())
        total = torch.zeros(self.codes.shape[1], device=self.policy.device)
        for part in micro_batches(rows, self.windows.lengths[rows], self.config.micro_batch_size):
            items, targets = (t.to(self.policy.device) for t in self.windows.gather(part))
            codes = self.codes[items]
            logits = self.policy.sequence_logits(codes, targets)
            losses = cross_entropy(logits, codes[targets], self.config.label_smoothing).sum(0) / num_targets
            losses.sum().backward()
            total += losses.detach()
        return total

    def _figures(self, losses: torch.Tensor, rate: float) -> dict[str, float]:
        by_level = {f"loss_level_{level}": float(value) for level, value in enumerate(losses)}
        return {"loss": float(losses.sum()), **by_level, "learning_rate": rate}


class _CheckpointClock:
    """Decides when a checkpoint is due: after `every_s`, but never for more than a tenth of the time."""

    def __init__(self, every_s: float) -> None:
        self._every_s, self._cost, self._done_at = every_s, 0.0, time.monotonic()

    def is_due(self) -> bool:
        return time.monotonic() - self._done_at >= max(self._every_s, 10 * self._cost)

    def run(self, save: Any) -> None:
        start = time.monotonic()
        save()
        self._done_at = time.monotonic()
        self._cost = self._done_at - start


def read_windows(path: Path, max_history: int) -> Windows:
    """Training windows of train.parquet. Raises DataError when there is no sequence."""
    column = schemas.read_table(path, schemas.SEQUENCES, columns=["items"])["items"].combine_chunks()
    items = column.flatten().to_numpy()
    if not len(items):
        raise DataError(f"{path}: no training sequences; lower prepare.k_core or check the data")
    lengths = column.value_lengths().to_numpy()
    return make_windows(items, np.concatenate([[0], np.cumsum(lengths)]), max_history)


def load_policy(base: Path, config: "SftConfig", max_history: int, seed: int, device: torch.device) -> Policy:
    """The base model ready to be trained: all weights, or a fresh adapter on frozen (perhaps 4-bit) weights."""
    if config.adapter == "full":
        return Policy.load(base, device=device, max_history=max_history)
    meta = folder.read_meta(base)
    # Frozen weights may be stored in half precision; the adapter's own stay in fp32.
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    frozen = folder.load_causal_model(base, device, dtype, quantize=config.adapter == "qlora")
    vocab = folder.vocabulary(meta)
    model = adapter.attach(
        frozen, vocab, rank=config.lora_rank, alpha=config.lora_alpha, dropout=config.lora_dropout, seed=seed
    )
    return Policy(model, vocab, max_history, {**meta, "adapter": config.adapter}, base)
