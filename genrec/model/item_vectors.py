"""Items as vectors: the input of the history view `item_tokens`, the classes of the dense head and what the nodes of the
output `prefixes` are made of.

An item's vector is the sum of the model's own embeddings of its semantic id, of its projected text vector and,
optionally, of an embedding of its own. It lives in `items.safetensors` of a model folder, with the catalogue's codes
and text vectors, so that a model can be used without the artifacts it was trained on.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from genrec.errors import DataError
from genrec.model.precision import in_float32
from genrec.model.row_runs import RunGradient, Runs, products_of_runs
from genrec.model.transitions import Transitions
from genrec.search.layout import PromptBatch
from genrec.search.prefix_blocks import HELD_ENTRIES, BlockedLogProbs, Mixture
from genrec.search.prefixes import HeldLogProbs, PrefixLogProbs
from genrec.search.trie import Trie

FILE = "items.safetensors"
_WEIGHTS = ("projection.weight", "ids.weight", "nodes.weight")
_TABLE = "transitions."
_NAMES_IN_FILE = {  # of the tensors that have another name in the module
    "transitions.starts": "successors.starts",
    "transitions.targets": "successors.targets",
    "transitions.weights": "successors.weights",
    "transitions.history_decay": "successors.decay",
    "transitions.window": "successors.window",
}
_NAMES_IN_MODULE = {saved: name for name, saved in _NAMES_IN_FILE.items()}


class ItemVectors(nn.Module):
    """Vectors of N items from codes of L levels, text vectors of V dimensions and ids; D is the model's width."""

    codes: torch.Tensor
    text: torch.Tensor | None

    def __init__(
        self,
        codes: np.ndarray,
        num_codes: int,
        width: int,
        text: np.ndarray | None,
        ids: bool,
        nodes: bool = False,
    ) -> None:
        """`codes` int[N, L]; `text` float[N, V] or None; `ids` adds an embedding [N, D], `nodes` one of every prefix of
        the ids that is not a whole one.

        Text vectors are scaled to length 1; new weights are as wide as a transformer's embeddings (0.02).
        Raises DataError when the text vectors are not one an item.
        """
        super().__init__()
        if text is not None and len(text) != len(codes):
            raise DataError(
                f"{len(text)} text vectors for {len(codes)} semantic ids; recompute the embed and sid stages"
            )
        self.num_codes = num_codes
        self.register_buffer("codes", torch.from_numpy(np.array(codes, dtype=np.int64)))
        scaled = None
        if text is not None:
            scaled = functional.normalize(torch.from_numpy(np.array(text, dtype=np.float32)), dim=1)
        self.register_buffer("text", scaled)
        self.projection = nn.Linear(scaled.shape[1], width, bias=False) if scaled is not None else None
        self.ids = nn.Embedding(len(codes), width) if ids else None
        self.transitions: Transitions | None = None  # joins the dense head in search
        self.node_gradient: RunGradient | None = None  # where training keeps that of `nodes` (`child_products`)
        self._trie: Trie | None = None
        self._node_texts: list[torch.Tensor] = []
        inner = sum(self.trie.num_states(level) for level in range(1, codes.shape[1])) if nodes else 0
        self.nodes = nn.Embedding(inner, width) if nodes else None
        for module in (self.projection, self.ids, self.nodes):
            if module is not None:
                nn.init.normal_(module.weight, std=0.02)

    def __len__(self) -> int:
        return len(self.codes)

    def check_catalogue(self, sids: np.ndarray) -> None:
        """Raises DataError when `sids` is not as long as the catalogue the vectors belong to."""
        if len(sids) != len(self):
            raise DataError(
                f"the model was trained on {len(self)} items but there are {len(sids)} semantic ids; "
                "recompute the sft stage"
            )

    def forward(self, items: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """float32 [..., D] of item numbers int64[...]; `rows` [L * K, D] are the embeddings of the codes, by level."""
        return self._assemble(self.codes[items], items, rows)

    def table(self, rows: torch.Tensor) -> torch.Tensor:
        """All items at once: float32 [N, D]."""
        return self._assemble(self.codes, None, rows)

    def _assemble(self, codes: torch.Tensor, items: torch.Tensor | None, rows: torch.Tensor) -> torch.Tensor:
        offsets = torch.arange(codes.shape[-1], device=codes.device) * self.num_codes
        total = functional.embedding(codes + offsets, rows.float()).sum(-2)
        if self.projection is not None and self.text is not None:
            total = total + self.projection(self.text if items is None else self.text[items])
        if self.ids is not None:
            total = total + (self.ids.weight if items is None else self.ids(items))
        return total

    @property
    def trie(self) -> Trie:
        """The trie of the catalogue's codes, on the device of the module."""
        if self._trie is None:
            self._trie = Trie.from_sids(self.codes.cpu().numpy(), self.num_codes)
        self._trie = self._trie.to(self.codes.device)
        return self._trie

    def node_vectors(self, level: int, states: torch.Tensor | None, rows: torch.Tensor) -> torch.Tensor:
        """float32[n, D] of trie nodes `states` int64[n] of `level` + 1 codes, None: all. `rows` [K, D] are the codes' own.

        A code's row, the projected mean text of the items below, and the embedding of the node or, of a whole id, the
        item's.
        """
        trie = self.trie
        codes, leaves = trie.codes(level), level + 1 == trie.num_levels
        total = functional.embedding(codes if states is None else codes[states], rows.float())
        with in_float32(total.device):
            if self.projection is not None:
                total += self.projection(self._node_text(level, states))
        if leaves and self.ids is not None:
            total += self.ids(trie.leaf_items if states is None else trie.leaf_items[states])
        if not leaves and self.nodes is not None:
            first = sum(trie.num_states(before) for before in range(1, level + 1))
            every = torch.arange(trie.num_states(level + 1), device=codes.device) if states is None else states
            total += self.nodes(first + every)
        return total

    def child_products(
        self, level: int, states: torch.Tensor, prefixes: torch.Tensor, rows: torch.Tensor
    ) -> torch.Tensor:
        """float32[T, C] of states [T, D] with the `node_vectors` of the nodes that follow `prefixes`, int64[T] of `level` codes,
        in the order of `Trie.children`, without making the vectors; anything where no child is. `rows` [K, D] are the codes'.

        On the CPU, in training: the gradient of `nodes` goes to `node_gradient`.
        """
        trie = self.trie
        order = prefixes.argsort(stable=True)
        distinct, counts = prefixes[order].unique_consecutive(return_counts=True)
        begin = trie.starts(level)[distinct]
        sizes, ends = trie.starts(level)[distinct + 1] - begin, counts.cumsum(0)
        table, texts, apart = None, None, None
        if level + 1 < trie.num_levels:
            assert self.nodes is not None
            assert self.node_gradient is not None
            first = sum(trie.num_states(before) for before in range(1, level + 1))
            table, apart = self.nodes.weight[first : first + trie.num_states(level + 1)], (self.node_gradient, first)
            texts = None if self.projection is None else self._inner_texts()[level]
        else:
            before = sizes.cumsum(0) - sizes
            place = torch.arange(int(sizes.sum())) + (begin - before).repeat_interleave(sizes)
            items, begin = trie.leaf_items[place], before
            table = None if self.ids is None else self.ids(items)
            texts = None if self.text is None else self.text[items]
        bounds = (ends - counts, ends, begin, begin + sizes)
        runs = Runs(order, list(zip(*(bound.tolist() for bound in bounds), strict=True)))
        codes = trie.children(level, prefixes.unsqueeze(1)).codes[:, 0]
        states = states.float()
        projected = None if self.projection is None else states @ self.projection.weight
        found = products_of_runs(states, projected, runs, codes.shape[1], table, texts, apart)
        return found + (states @ rows.float().T).gather(1, codes.clamp_min(0))

    @torch.no_grad()
    def forget_unseen(self, trained_on: np.ndarray) -> None:
        """Zero the embeddings of items that are not among `trained_on`, item numbers int[n] with repeats, and of the inner
        nodes above no other.

        All that training tells of them is that they were never the answer. Without it their code and text speak, so that
        an item which is new can be recommended.
        """
        seen = torch.zeros(len(self), dtype=torch.bool, device=self.codes.device)
        seen[torch.from_numpy(np.unique(trained_on).astype(np.int64)).to(seen.device)] = True
        if self.ids is not None:
            self.ids.weight[~seen] = 0
        if self.nodes is None:
            return
        count = seen[self.trie.leaf_items].float()
        levels: list[torch.Tensor] = []
        for level in reversed(range(1, self.trie.num_levels)):
            parents = self.trie.parents(level)
            count = torch.zeros(self.trie.num_states(level), device=count.device).index_add_(0, parents, count)
            levels.insert(0, count)
        self.nodes.weight[torch.cat(levels) == 0] = 0

    def inner_prefixes(self) -> torch.Tensor:
        """int64, ascending within a length: what the rows of `nodes` stand for, as numbers in base K + 1 whose digits are
        code + 1. The same prefix has the same number in every catalogue.
        """
        numbers = [torch.zeros(1, dtype=torch.int64, device=self.codes.device)]
        for level in range(self.trie.num_levels - 1):
            before = numbers[level][self.trie.parents(level)]
            numbers.append(before * (self.num_codes + 1) + self.trie.codes(level) + 1)
        return torch.cat(numbers[1:])

    def _node_text(self, level: int, states: torch.Tensor | None) -> torch.Tensor:
        """The mean text vector of the items below nodes `states` int64[n] of `level` + 1 codes, None: all, float32[n, V]."""
        assert self.text is not None
        if level + 1 == self.trie.num_levels:  # not held in this order too: for large catalogues it is most of a model
            leaves = self.trie.leaf_items
            return self.text[leaves if states is None else leaves[states]]
        text = self._inner_texts()[level]
        return text if states is None else text[states]

    def _inner_texts(self) -> list[torch.Tensor]:
        """By level but the last, the mean text vectors of all its nodes; computed once."""
        assert self.text is not None
        if not self._node_texts or self._node_texts[0].device != self.text.device:
            trie = self.trie
            total, count = self.text[trie.leaf_items], torch.ones(len(self), 1, device=self.text.device)
            self._node_texts = []
            for inner in reversed(range(1, trie.num_levels)):
                parents, size = trie.parents(inner), trie.num_states(inner)
                total = torch.zeros(size, total.shape[1], device=total.device).index_add_(0, parents, total)
                count = torch.zeros(size, 1, device=total.device).index_add_(0, parents, count)
                self._node_texts.insert(0, total / count)
        return self._node_texts

    def logits(self, hidden: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """The dense head: float32 [..., N] of hidden states [..., D] against every item's vector, by float32 products."""
        with in_float32(hidden.device):
            return hidden.float() @ self.table(rows).T

    def some_logits(
        self, hidden: torch.Tensor, own: torch.Tensor, items: torch.Tensor, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Entries of `logits`: float32[T] of states [T, D] and the item of each, `own` int64[T], and [T, S] against `items`
        int64[S].
        """
        with in_float32(hidden.device):
            states, vectors = hidden.float(), self(torch.cat([own, items]), rows)
            return (states * vectors[: len(own)]).sum(1), states @ vectors[len(own) :].T

    def prefixes(self, logits: torch.Tensor, prompts: PromptBatch, transition_share: float) -> PrefixLogProbs:
        """The dense head's distribution by prefix of the catalogue's ids, from its logits float32[B, N].

        The transition table, where there is one, takes `transition_share` of it, by the histories of the prompts.
        """
        return self.prefixes_of(logits.log_softmax(-1), prompts, transition_share)

    def prefixes_of(self, log_probs: torch.Tensor, prompts: PromptBatch, transition_share: float) -> PrefixLogProbs:
        """`prefixes` from the log-softmax of the logits."""
        if transition_share and self.transitions is not None:
            log_probs = self.transitions.mix(log_probs, prompts.histories, transition_share, prompts.following)
        return HeldLogProbs(self.trie, log_probs)

    def mixture(self, prompts: PromptBatch, transition_share: float) -> Mixture | None:
        """What the transition table adds to a dense head's distribution; None where it has no share."""
        if not transition_share or self.transitions is None:
            return None
        return self.transitions.mixture(prompts.histories, transition_share, prompts.following, HELD_ENTRIES)

    def prefixes_in_blocks(
        self, hidden: torch.Tensor, rows: torch.Tensor, prompts: PromptBatch, transition_share: float
    ) -> PrefixLogProbs:
        """`prefixes` of hidden states [B, D] for a search over a large catalogue: no logit of every user and item is held."""
        mixture = self.mixture(prompts, transition_share)
        with in_float32(hidden.device):
            return BlockedLogProbs(self.trie, hidden.float(), lambda items: self(items, rows), mixture, HELD_ENTRIES)

    def save(self, folder: Path) -> None:
        """Write `items.safetensors`."""
        state = self.state_dict()
        tensors = {_NAMES_IN_FILE.get(name, name): t.detach().cpu().contiguous() for name, t in state.items()}
        save_file(tensors, str(folder / FILE), metadata={"num_codes": str(self.num_codes)})

    @classmethod
    def load(cls, folder: Path, num_codes: int) -> "ItemVectors":
        """What `save` wrote. Raises DataError when the file is missing or does not hold item vectors."""
        path = folder / FILE
        try:
            tensors = {_NAMES_IN_MODULE.get(name, name): t for name, t in load_file(str(path)).items()}
            codes = tensors["codes"].numpy()
            text = tensors["text"].numpy() if "text" in tensors else None
            parts = [tensors[n].shape[-2 if n.startswith("projection") else -1] for n in _WEIGHTS if n in tensors]
            items = cls(
                codes, num_codes, parts[0] if parts else 1, text, "ids.weight" in tensors, "nodes.weight" in tensors
            )
            table = {name.removeprefix(_TABLE): t for name, t in tensors.items() if name.startswith(_TABLE)}
            items.transitions = Transitions.empty_like(table) if table else None
            items.load_state_dict(tensors)
        except (FileNotFoundError, SafetensorError, KeyError, IndexError, RuntimeError) as error:
            raise DataError(f"{path}: not readable as item vectors ({error}); recompute the sft stage") from error
        return items
