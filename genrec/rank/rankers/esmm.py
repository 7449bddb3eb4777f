"""ESMM: clicks, and purchases as clicks that convert, learned from all candidates and not from the clicked ones alone.

Ma et al., "Entire space multi-task model: an effective approach for estimating post-click conversion rate" (SIGIR 2018,
arXiv 1804.07931, section 2.3): P(purchase) = P(click) P(purchase | click). Both losses run over all candidates, so the
conversion needs no rows chosen by clicks, and it shares the embeddings, which clicks teach. The loss is pointwise, since
the two are multiplied as probabilities.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from genrec.errors import ConfigError
from genrec.progress import Progress, silent
from genrec.rank.rankers.parts import deep
from genrec.rank.rankers.parts.deep import Body
from genrec.rank.rankers.parts.deep_config import DeepConfig, TasksConfig
from genrec.rank.rankers.parts.encoder import Encoder, flat
from genrec.rank.rankers.parts.layers import Towers
from genrec.rank.rankers.parts.ranker import Ranker
from genrec.rank.samples import CLICK, PURCHASE, TASKS, Samples

_MOST = -1e-6  # of a log-probability: its complement's logarithm stays finite


@dataclass(frozen=True)
class Config(TasksConfig, DeepConfig):
    """ESMM."""


class Esmm(Body):
    """A tower for the click and one for the conversion, over shared embeddings."""

    def __init__(self, encoder: Encoder, options: Config, num_tasks: int) -> None:
        super().__init__(num_tasks)
        self.towers = Towers(encoder.width, options.hidden_size, options.dropout, num_tasks)

    def start(self, rates: torch.Tensor) -> None:
        """The second begins at the share of the clicks that convert."""
        click, purchase = rates
        super().start(torch.stack([click, (purchase / click).clamp(1e-4, 1 - 1e-4)]))

    def forward(self, values: torch.Tensor, missing: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        x = flat(values, missing, ids)
        click, conversion = (self.bias + self.towers([x, x])).unbind(dim=1)
        both = (F.logsigmoid(click) + F.logsigmoid(conversion)).clamp_max(_MOST)
        return torch.stack([click, both - torch.log(-torch.expm1(both))], dim=1)  # the logit of exp(both)


def fit(train: Samples, valid: Samples | None, options: Config, seed: int, progress: Progress = silent) -> Ranker:
    """Train on clicks and purchases.

    Raises ConfigError where the samples do not have both, TrainingError where the loss is no longer finite.
    """
    if set(train.tasks) != {CLICK, PURCHASE}:
        raise ConfigError(
            f"rank.ranker: esmm learns from clicks and purchases; the data have {sorted(train.tasks) or 'one kind of event'}; "
            "choose lambdamart"
        )
    return deep.fit("esmm", Esmm, train, valid, options, seed, progress, tasks=TASKS)


def load(folder: Path) -> Ranker:
    """What `save` wrote. Raises DataError where it cannot be read."""
    return deep.load(folder, Esmm, Config)
