"""Training of the deep rankers."""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from genrec.errors import TrainingError
from genrec.progress import Progress
from genrec.rank.order import mean_ndcg
from genrec.rank.rankers.parts import losses
from genrec.rank.rankers.parts.deep_config import DeepConfig, Loss
from genrec.rank.rankers.parts.encoder import Encoder
from genrec.rank.rankers.parts.ranker import LABEL, Inputs
from genrec.rank.samples import PURCHASE, Samples


@dataclass(frozen=True)
class Rows:
    """Samples as tensors."""

    samples: Samples
    tasks: tuple[str, ...]
    features: torch.Tensor  # float32 [R, F], nan where missing
    bucket: torch.Tensor  # int64 [R, 2]
    labels: torch.Tensor  # float32 [R, T]
    weight: torch.Tensor  # float32 [R]
    row_list: torch.Tensor  # int64 [R]

    @classmethod
    def of(cls, samples: Samples, inputs: Inputs, encoder: Encoder, tasks: tuple[str, ...]) -> "Rows":
        """The rows with the labels of some tasks."""
        labels = [samples.label if task == LABEL else samples.tasks[task] for task in tasks]
        return cls(
            samples,
            tasks,
            torch.from_numpy(np.ascontiguousarray(inputs.matrix(samples))),
            encoder.bucket(torch.from_numpy(samples.user), torch.from_numpy(samples.item)),
            torch.from_numpy(np.stack(labels, axis=1) if labels else np.zeros((len(samples), 0), np.float32)),
            torch.from_numpy(samples.weight),
            torch.from_numpy(samples.list_of_row),
        )

    def rates(self) -> torch.Tensor:
        """The weighted share of positives by task, float32 [T], one row of each class added."""
        return ((self.labels * self.weight[:, None]).sum(dim=0) + 1) / (self.weight.sum() + 2)

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """Row numbers of whole lists, each list once, in random order."""
        starts = self.samples.starts
        order = rng.permutation(len(starts) - 1)
        for first in range(0, len(order), size):
            yield np.concatenate([np.arange(starts[i], starts[i + 1]) for i in order[first : first + size]])


def train_model(
    name: str,
    model: nn.Module,
    rows: Rows,
    held: Rows | None,
    options: DeepConfig,
    loss: Loss,
    seed: int,
    progress: Progress,
) -> None:
    """Train in place; with `held` until the mean NDCG@10 of the tasks no longer rises, and the best weights are kept."""
    ids = [p for n, p in model.named_parameters() if n.endswith("ids.weight")]
    rest = [p for n, p in model.named_parameters() if not n.endswith("ids.weight")]
    groups: list[dict[str, Any]] = [
        {"params": rest, "weight_decay": options.weight_decay},
        {"params": ids, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=options.learning_rate)
    task_weights = [getattr(options, "purchase_loss", 1.0) if t == PURCHASE else 1.0 for t in rows.tasks]
    rng = np.random.default_rng(seed)
    total = options.epochs * math.ceil((len(rows.samples.starts) - 1) / options.batch_lists)
    best, best_state, since, step = -1.0, None, 0, 0
    for epoch in range(options.epochs):
        model.train()
        for batch in rows.batches(options.batch_lists, rng):
            value = _batch_loss(model, rows, torch.from_numpy(batch), options, loss, task_weights)
            if not torch.isfinite(value):
                raise TrainingError(f"ranker {name}: non-finite loss at step {step + 1} (epoch {epoch + 1})")
            optimizer.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            step += 1
        progress(step, total, f"{name}, epoch {epoch + 1}", loss=value.item())
        if held is None:
            continue
        figure = _validate(model, held)
        since = 0 if figure > best else since + 1
        if figure > best:
            best, best_state = figure, copy.deepcopy(model.state_dict())
        if since >= options.patience:
            break
    if best_state is not None:
        model.load_state_dict(best_state)
    model.eval()


def _batch_loss(
    model: nn.Module,
    rows: Rows,
    batch: torch.Tensor,
    options: DeepConfig,
    loss: Loss,
    task_weights: list[float],
) -> torch.Tensor:
    """The weighted sum of the tasks' losses."""
    logits = model(rows.features[batch], rows.bucket[batch])
    weight, row_list, gamma = rows.weight[batch], rows.row_list[batch], options.focal_gamma
    total = logits.new_zeros(())
    for column, task_weight in enumerate(task_weights):
        logit, label = logits[:, column], rows.labels[batch, column]
        if loss == "pointwise":
            value = losses.pointwise(logit, label, weight, gamma)
        elif loss == "pairwise":
            value = losses.pairwise(logit, label, weight, row_list, gamma)
        else:
            value = losses.listwise(logit, label, weight, row_list)
        total = total + task_weight * value
    return total


@torch.no_grad()
def _validate(model: nn.Module, held: Rows) -> float:
    """Mean NDCG@10 over the tasks."""
    model.eval()
    logits = model(held.features, held.bucket).numpy()
    figures = [mean_ndcg(held.samples, logits[:, column], label.numpy()) for column, label in enumerate(held.labels.T)]
    return float(np.mean(figures))


def log_probabilities(logits: torch.Tensor, samples: Samples, loss: Loss) -> torch.Tensor:
    """[R, T]: pointwise, of each candidate; otherwise of being the one of its list, a softmax over the list."""
    if loss == "pointwise" or not len(logits):
        return F.logsigmoid(logits)
    row_list = torch.from_numpy(samples.list_of_row)[:, None].expand_as(logits)
    size = len(samples.starts) - 1
    highest = torch.full((size, logits.shape[1]), -torch.inf).scatter_reduce(0, row_list, logits, "amax")
    shifted = logits - highest.gather(0, row_list)
    total = torch.zeros_like(highest).scatter_add(0, row_list, shifted.exp())
    return shifted - total.log().gather(0, row_list)
