"""Rollouts: the candidates that the current policy generates for the prompts of a step.

A prompt's candidates depend on the weights, the seed, the step and the prompt's place in the step, bit by bit, not on
the number of rollout workers: a chunk of fixed size is always padded and computed as a whole, and has a random
stream of its own.

Letters: B prompts, G candidates a prompt, L levels.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch

from genrec.errors import ConfigError, DataError
from genrec.model import adapter, folder
from genrec.model.policy import Policy
from genrec.model.precision import compile_layers, compute_dtype, default_device
from genrec.search.decode import Candidates, sample, sample_distinct
from genrec.search.graphs import SearchGraphs
from genrec.search.trie import Trie
from genrec.tables import read_sids
from genrec.train.learner_group import LearnerGroup
from genrec.train.rl.prompts import PromptSet

if TYPE_CHECKING:
    from genrec.config import RlConfig

Weights = dict[str, np.ndarray]  # float32, or bfloat16 as its bits in int16, for numpy has no such type


class Rollout(NamedTuple):
    """Candidates, best first; plain numpy, so that it travels between processes."""

    items: np.ndarray  # int64[B, G], -1 where the catalogue has no further item to offer
    sids: np.ndarray  # int64[B, G, L]
    log_probs: np.ndarray  # float32[B, G, L], of the policy that generated


class Rollouts(Protocol):
    """Generates the candidates of a step. `weights` gives the learner's trainable weights to other processes, which need a copy."""

    def __call__(self, step: int, prompts: PromptSet, weights: Callable[[], Weights]) -> Rollout: ...


def load_policy(
    sft: Path, base: Path | None, sids: Path, config: "RlConfig", max_history: int
) -> tuple[Policy, Trie, np.ndarray]:
    """The policy with its weights to be trained, the trie on its device, and the semantic ids int64[N, L].

    Raises ConfigError when the catalogue cannot fill a group, DataError for artifacts that do not belong together.
    """
    table = read_sids(sids)
    if len(table) < 2:
        raise ConfigError(
            f"{sids.name}: a catalogue of {len(table)} item leaves reinforcement learning nothing to choose"
        )
    if len(table) < config.group_size:
        raise ConfigError(
            f"rl.group_size is {config.group_size} but {sids.name} has only {len(table)} items to choose from; "
            "lower rl.group_size"
        )
    frozen = folder.read_meta(sft).get("adapter", "full") != "full"
    # Frozen weights may be stored in half precision; those that are trained stay in fp32.
    device = default_device()
    compute = compute_dtype(config.precision, device, "rl.precision")
    dtype = compute if frozen else torch.float32
    try:
        policy = Policy.load(sft, base, device=device, dtype=dtype, max_history=max_history, trainable=True)
    except (RuntimeError, KeyError, ValueError) as error:  # PEFT on tensors of other names or shapes
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{sft}: the weights do not fit the base model in {base} ({reason})") from error
    if policy.vocab.num_levels != table.shape[1]:
        raise DataError(
            f"{sids.name} has {table.shape[1]} levels but the model in {sft} has {policy.vocab.num_levels}; "
            "train it on these semantic ids"
        )
    policy.forward_dtype = policy.search_dtype = compute
    if config.compile and device.type == "cuda":
        compile_layers(policy.body)
    policy.model.eval()  # no dropout: the policy that generates is the policy that is trained
    return policy, Trie.from_sids(table, policy.vocab.num_codes, policy.device), table


def generate(
    policy: Policy,
    trie: Trie,
    sids: np.ndarray,
    prompts: PromptSet,
    config: "RlConfig",
    generator: torch.Generator | None = None,
    graphs: SearchGraphs | None = None,
) -> Rollout:
    """`config.group_size` candidates a prompt under the trie, best first by the policy's log-probability.

    sids: int[N, L]. Modes of `config.rollout`: beam takes the top of a beam search, gumbel draws different items
    (Gumbel top-k), sample draws with replacement; draws come from `generator`. Log-probabilities are the policy's own,
    at temperature 1, in every mode. `graphs` are those of `beam_search` for this policy, trie and group size.
    """
    rollout = config.rollout
    batch = policy.prompts(prompts.histories, sids, prompts.following)
    banned = prompts.banned() if rollout.seen_items == "drop" else None
    if rollout.mode == "beam":
        found = graphs or SearchGraphs(policy, trie, config.group_size, policy.trainable_parameters().values)
        best = found(batch, banned)
    else:
        draw = sample_distinct if rollout.mode == "gumbel" else sample
        best = _sorted(draw(policy, batch, trie, config.group_size, rollout.temperature, generator, banned))
    return Rollout(best.items.cpu().numpy(), best.sids.cpu().numpy(), best.log_probs.cpu().numpy())


def _sorted(drawn: Candidates) -> Candidates:
    """The same candidates, best first."""
    order = drawn.scores.sort(dim=1, descending=True, stable=True).indices
    by_level = order.unsqueeze(-1).expand_as(drawn.sids)
    return Candidates(
        drawn.items.gather(1, order),
        drawn.sids.gather(1, by_level),
        drawn.log_probs.gather(1, by_level),
        drawn.scores.gather(1, order),
    )


def chunks(prompts: PromptSet, size: int) -> list[PromptSet]:
    """The prompts of a step in order, `size` at a time: the unit of work that goes to a worker."""
    return [prompts.part(start, start + size) for start in range(0, len(prompts.histories), size)]


def concatenate(parts: Sequence[Rollout]) -> Rollout:
    """The rollouts of consecutive chunks as one."""
    return Rollout(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


class RolloutWorker:
    """A rollout worker: a policy that takes new weights and generates. The task layer wraps it in an actor."""

    def __init__(
        self, policy: Policy, trie: Trie, sids: np.ndarray, config: "RlConfig", seed: int, moves_weights: bool = False
    ) -> None:
        """`moves_weights`: they lie elsewhere in every step, so that no recording of a search could be used again."""
        self.policy, self.trie, self.sids, self.config, self.seed = policy, trie, sids, config, seed
        self.parameters = policy.trainable_parameters()
        self.graphs = SearchGraphs(policy, trie, config.group_size, self.parameters.values)
        self.graphs.enabled &= not moves_weights

    @classmethod
    def load(
        cls, sft: Path, base: Path | None, sids: Path, config: "RlConfig", *, max_history: int, seed: int
    ) -> "RolloutWorker":
        """A worker of its own, from the same artifacts as the learner (see `train_rl`)."""
        policy, trie, table = load_policy(sft, base, sids, config, max_history)
        return cls(policy, trie, table, config, seed)

    def set_weights(self, weights: Weights) -> None:
        """Take the learner's trainable weights. Raises ValueError when names or shapes are not this policy's."""
        set_weights(self.parameters, weights)

    def generate(self, step: int, prompts: PromptSet) -> Rollout:
        """Candidates for whole chunks of the prompts of a step (see `chunks`; the size is `config.rollout.chunk_size`).

        Raises ValueError for prompts that do not start at a chunk: their random stream would be another one.
        """
        size = self.config.rollout.chunk_size
        if prompts.position[0] % size:
            raise ValueError(f"prompts start at {prompts.position[0]}, which is not a multiple of {size}")
        return concatenate([self._generate_chunk(step, part) for part in chunks(prompts, size)])

    def _generate_chunk(self, step: int, prompts: PromptSet) -> Rollout:
        generator = None
        if self.config.rollout.mode != "beam":
            stream = np.random.SeedSequence([self.seed, step, int(prompts.position[0])]).generate_state(1, np.uint64)[0]
            generator = torch.Generator(self.policy.device).manual_seed(int(stream >> 1))
        return generate(self.policy, self.trie, self.sids, prompts, self.config, generator, self.graphs)


class LocalRollouts:
    """Rollouts in the learner's own processes, by the learner's own policy: it needs no copy of the weights."""

    def __init__(self, worker: RolloutWorker, group: LearnerGroup) -> None:
        self.worker, self.group = worker, group

    def __call__(self, step: int, prompts: PromptSet, weights: Callable[[], Weights]) -> Rollout:
        if self.group.size == 1:
            return self.worker.generate(step, prompts)
        parts = self.group.share(chunks(prompts, self.worker.config.rollout.chunk_size))
        own = concatenate([self.worker.generate(step, part) for part in parts]) if parts else None
        rows = np.concatenate([np.empty(0, np.int64), *(part.position for part in parts)])
        return gather(self.group, own, rows, len(prompts.position), self.worker)


class SharedRollouts:
    """Rollouts that the first of several learner processes gets and passes on to the others."""

    def __init__(self, rollouts: Rollouts | None, worker: RolloutWorker, group: LearnerGroup) -> None:
        self.rollouts, self.worker, self.group = rollouts, worker, group

    def __call__(self, step: int, prompts: PromptSet, weights: Callable[[], Weights]) -> Rollout:
        if self.group.size == 1:
            assert self.rollouts is not None
            return self.rollouts(step, prompts, weights)
        own = self.rollouts(step, prompts, weights) if self.rollouts is not None else None
        rows = np.arange(0 if own is None else len(prompts.position))
        return gather(self.group, own, rows, len(prompts.position), self.worker)


def gather(
    group: LearnerGroup, own: Rollout | None, rows: np.ndarray, num_prompts: int, worker: RolloutWorker
) -> Rollout:
    """The candidates of all prompts, of which this process has those at `rows` (the processes share them out)."""
    group_size, levels = worker.config.group_size, worker.sids.shape[1]
    shapes = {"items": (group_size,), "sids": (group_size, levels), "log_probs": (group_size, levels)}
    joined = []
    for name, shape in shapes.items():
        dtype = np.float32 if name == "log_probs" else np.int64
        whole = np.zeros((num_prompts, *shape), dtype=dtype)
        if own is not None:
            whole[rows] = getattr(own, name)
        joined.append(group.sum_(torch.from_numpy(whole).to(worker.policy.device)).cpu().numpy())
    return Rollout(*joined)


def get_weights(parameters: dict[str, torch.nn.Parameter], compute: torch.dtype = torch.float32) -> Weights:
    """Copies on the CPU: in `compute` what an adapter's forward rounds to it (`adapter.is_rounded_in_use`), all else in
    float32. A worker which has it in that type gets what the learner would, bit by bit, for half the bytes.
    """
    halved = {name for name in parameters if adapter.is_rounded_in_use(name) and compute == torch.bfloat16}
    return {
        name: p.detach().to(torch.bfloat16, copy=True).cpu().view(torch.int16).numpy()
        if name in halved
        else p.detach().to("cpu", torch.float32, copy=True).numpy()
        for name, p in parameters.items()
    }


@torch.no_grad()
def set_weights(parameters: dict[str, torch.nn.Parameter], weights: Weights) -> None:
    """Overwrite parameters in place. Raises ValueError when names or shapes differ."""
    if parameters.keys() != weights.keys():
        odd = sorted(parameters.keys() ^ weights.keys())
        raise ValueError(f"weights do not belong to this policy: {odd[:3]} in only one of the two")
    for name, parameter in parameters.items():
        value = torch.as_tensor(weights[name])
        if value.dtype == torch.int16:
            value = value.view(torch.bfloat16)
        if value.shape != parameter.shape:
            raise ValueError(f"weight {name} has shape {tuple(value.shape)}, the policy has {tuple(parameter.shape)}")
        parameter.copy_(value)
