"""Items as vectors: the input of the history view `item_tokens` and the classes of the dense head.

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
from genrec.model.transitions import Transitions
from genrec.search.layout import PromptBatch
from genrec.search.prefixes import PrefixLogProbs
from genrec.search.trie import Trie

FILE = "items.safetensors"
_WEIGHTS = ("projection.weight", "ids.weight")
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

    def __init__(self, codes: np.ndarray, num_codes: int, width: int, text: np.ndarray | None, ids: bool) -> None:
        """`codes` int[N, L]; `text` float[N, V] or None; `ids` adds an embedding [N, D].

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
        for module in (self.projection, self.ids):
            if module is not None:
                nn.init.normal_(module.weight, std=0.02)
        self.transitions: Transitions | None = None  # joins the dense head in search
        self._trie: Trie | None = None

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

    def logits(self, hidden: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """The dense head: float32 [..., N] of hidden states [..., D] against every item's vector, by float32 products."""
        with in_float32(hidden.device):
            return hidden.float() @ self.table(rows).T

    def prefixes(self, logits: torch.Tensor, prompts: PromptBatch, transition_share: float) -> PrefixLogProbs:
        """The dense head's distribution by prefix of the catalogue's ids, from its logits float32[B, N].

        The transition table, where there is one, takes `transition_share` of it, by the histories of the prompts.
        """
        log_probs = logits.log_softmax(-1)
        if transition_share and self.transitions is not None:
            log_probs = self.transitions.mix(log_probs, prompts.histories, transition_share, prompts.following)
        return PrefixLogProbs(self.trie, log_probs)

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
            items = cls(codes, num_codes, parts[0] if parts else 1, text, "ids.weight" in tensors)
            table = {name.removeprefix(_TABLE): t for name, t in tensors.items() if name.startswith(_TABLE)}
            items.transitions = Transitions.empty_like(table) if table else None
            items.load_state_dict(tensors)
        except (FileNotFoundError, SafetensorError, KeyError, IndexError, RuntimeError) as error:
            raise DataError(f"{path}: not readable as item vectors ({error}); recompute the sft stage") from error
        return items
