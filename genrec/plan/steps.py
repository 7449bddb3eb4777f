"""The work of a stage that takes the most memory, done once on the device of a policy and counted.

Each function makes its working objects inside an active `Memory`, does the first step, which creates what later ones find
there (the state of an optimizer), and counts the step after it.
"""

from collections.abc import Callable, Sequence
from types import CodeType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from genrec.embed.encoders import transformer
from genrec.model.policy import Policy
from genrec.model.precision import products
from genrec.plan import memory
from genrec.plan.memory import Memory
from genrec.progress import silent
from genrec.search import decode, layout
from genrec.search.trie import Trie
from genrec.train.learner_group import LearnerGroup
from genrec.train.rl.groups import form_groups
from genrec.train.rl.learner import Learner
from genrec.train.rl.prompts import PromptSet
from genrec.train.rl.reward_context import RewardContext
from genrec.train.rl.rewarding import Term
from genrec.train.rl.rollout import LocalRollouts, RolloutWorker
from genrec.train.sft.alignment import Alignment
from genrec.train.sft.trainer import Trainer
from genrec.train.sft.windows import Windows

if TYPE_CHECKING:
    from genrec.config import RlConfig, SftConfig

_RATE = 1e-4  # of learning; no matter which
FUNCTIONS: dict[CodeType, str] = {  # what is made inside of them; the innermost on the stack decides
    torch.nn.Module._call_impl.__code__: memory.ACTIVATIONS,
    layout._LayerCache.update.__code__: memory.CACHE,
    **{
        function.__code__: memory.ACTIVATIONS
        for function in (
            *(layout._Body.read, layout._Body.append, layout.Siblings.extend, layout.candidate_hidden),
            *(layout.sequence_hidden, layout.branched_hidden, Policy.prompt_embeds, Policy.sequence_hidden),
        )
    },
    **{
        function.__code__: memory.LOGITS
        for function in (
            *(products, decode._search, Policy.code_logits, Policy.candidate_logits, Policy.candidate_scores),
            *(Trainer._losses, Alignment._title_loss, Alignment._sid_loss),
        )
    },
}


class Room:
    """What a GPU of `total` bytes still has, for a trainer that chooses its micro-batch by it
    (`genrec.train.micro_batch.Memory`).
    """

    def __init__(self, counted: Memory, total: float) -> None:
        self._counted, self._total = counted, total

    def free(self) -> int:
        return int(self._total - sum(self._counted.now.values()))

    def peak_of(self, run: Callable[[], None]) -> int:
        before = sum(self._counted.now.values())
        self._counted.start_again()
        run()
        return self._counted.peak_bytes - before


def label_policy(counted: Memory, policy: Policy) -> None:
    """Weights that are trained and those that are not, and what is known of the catalogue."""
    parameters = list(policy.model.parameters())
    frozen = [p for p in parameters if not p.requires_grad]
    counted.label(memory.WEIGHTS, [*frozen, *policy.model.buffers(), *_scales(frozen)])
    if policy.items is not None:
        items = policy.items
        counted.label(memory.CATALOGUE, [*items.parameters(), *items.buffers()])
    counted.label(memory.TRAINED, policy.trainable_parameters().values())


def _scales(parameters: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """What 4-bit weights are scaled by."""
    states = [state for p in parameters if (state := getattr(p, "quant_state", None)) is not None]
    nested = [s for state in states for s in (state, state.state2) if s is not None]
    found = [getattr(state, name, None) for state in nested for name in ("absmax", "code", "offset")]
    return [tensor for tensor in found if isinstance(tensor, torch.Tensor)]


def trainer(
    counted: Memory,
    policy: Policy,
    windows: Windows,
    sids: np.ndarray,
    config: "SftConfig",
    alignment: Alignment | None = None,
    room: Room | None = None,
) -> Trainer:
    """The trainer of a run, with its optimizer's state in place; `room` where the config leaves a choice to the memory."""
    label_policy(counted, policy)
    made = Trainer(policy, windows, sids, config, 0, alignment)
    made._memory = room
    made.state.window_losses = torch.zeros(len(made.windows))
    counted.label(memory.CATALOGUE, [made.codes])
    with counted.training(made.parameters.values(), made.optimizer):
        made.step(np.arange(1), _RATE)
    return made


def train(counted: Memory, made: Trainer, rows: np.ndarray) -> None:
    """An optimizer step of fine-tuning on windows `rows`."""
    counted.start_again()
    with counted.training(made.parameters.values(), made.optimizer):
        made.step(rows, _RATE)


def learner(
    counted: Memory,
    policy: Policy,
    sids: np.ndarray,
    config: "RlConfig",
    terms: tuple[Term, ...],
    prompts: PromptSet,
    room: Room | None = None,
) -> Learner:
    """The learner of a run, with its optimizer's state in place; `room` as for `trainer`."""
    label_policy(counted, policy)
    device = policy.device
    context = RewardContext(
        torch.from_numpy(sids.astype(np.int64)).to(device), torch.ones(len(sids), dtype=torch.int64, device=device)
    )
    counted.label(memory.CATALOGUE, [context.sids, context.train_counts])
    made = Learner(policy, config, terms, context)
    made._memory = room
    counted.label(memory.REFERENCE, made.reference.values())
    counted.label(memory.TRAINED, made.learned().values())
    _updated(counted, made, prompts.part(0, 1))
    return made


def update(counted: Memory, made: Learner, prompts: PromptSet) -> None:
    """An update of reinforcement learning on the candidates of these prompts."""
    counted.start_again()
    _updated(counted, made, prompts)


def _updated(counted: Memory, made: Learner, prompts: PromptSet) -> None:
    device = made.policy.device
    items = torch.zeros(len(prompts.target), made.config.group_size, dtype=torch.int64, device=device)
    items += torch.arange(made.config.group_size, device=device)
    groups = form_groups(items, torch.from_numpy(prompts.target).to(device), "keep")  # all take part: the fullest case
    with counted.training(made.learned().values(), made.optimizer):
        made.update(0, prompts, groups)
    made.optimizer.zero_grad()


def rollout(
    counted: Memory, policy: Policy, trie: Trie, sids: np.ndarray, config: "RlConfig", prompts: PromptSet
) -> None:
    """Candidates for a chunk of prompts."""
    label_policy(counted, policy)
    counted.label(memory.CATALOGUE, _tables(trie))
    generate = LocalRollouts(RolloutWorker(policy, trie, sids, config, 0), LearnerGroup())
    counted.start_again()
    generate(0, prompts, dict)


def search(
    counted: Memory,
    policy: Policy,
    trie: Trie,
    sids: np.ndarray,
    histories: Sequence[np.ndarray],
    width: int,
    batch_size: int,
    drop_seen: bool = True,
) -> None:
    """Lists for users, as validation and evaluation make them."""
    label_policy(counted, policy)
    counted.label(memory.CATALOGUE, _tables(trie))
    counted.start_again()
    banned = list(histories) if drop_seen else None
    decode.rank_users(policy, list(histories), sids, trie, width, banned=banned, batch_size=batch_size)


def encode(
    counted: Memory, model: Any, token_ids: list[list[int]], options: transformer.Config, batch_tokens: int, device: str
) -> None:
    """Texts to vectors."""
    counted.label(memory.WEIGHTS, [*model.parameters(), *model.buffers()])
    counted.start_again()
    transformer.encode_tokens(model, token_ids, options, batch_tokens=batch_tokens, device=device, progress=silent)


def _tables(trie: Trie) -> list[torch.Tensor | None]:
    levels = [t for level in trie._levels for t in (level.keys, level.codes, level.starts, level.table)]
    return [*levels, trie.leaf_items]
