"""The part of a policy that knows items as vectors: its history view and its dense head."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from genrec import variants
from genrec.errors import DataError
from genrec.model import adapter, views
from genrec.model.item_head import ItemVectors
from genrec.model.prefixes import PrefixLogProbs
from genrec.model.vocab import SidVocabulary
from genrec.search.layout import PromptBatch


class ItemPart:
    """What `Policy` inherits; the attributes below and `use_items` belong to it, the model to the policy."""

    model: nn.Module
    vocab: SidVocabulary
    device: Any
    causal_model: Any
    autocast: bool = False  # True: forwards run in bfloat16, log-probabilities stay float32
    half_search: bool = False  # True: in search the body runs in bfloat16; heads and scores stay float32
    view: Any = None
    opening: np.ndarray  # int64[O], the tokens every prompt starts with: BOS and the view's instruction
    items: ItemVectors | None = None
    dense_weight: float | None = None  # None: no dense head
    successor_share: float = 0.0  # of the transition table in the dense head's distribution
    _meta: dict[str, Any]
    _tokenizer_files: Path
    _dropout_rate: float = 0.0

    @contextlib.contextmanager
    def precision(self) -> Iterator[None]:
        """bfloat16 autocast when `autocast` is set; nothing otherwise."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.autocast):
            yield

    def use_items(
        self,
        items: ItemVectors | None,
        name: str = "sid_tokens",
        options: dict[str, Any] | None = None,
        dense_weight: float | None = None,
    ) -> None:
        """Read histories through the view `name` (a module of genrec/model/views), with vectors of the items where there are any.

        `dense_weight`, 0..1, is the dense head's share of a score; None goes without such a head.
        """
        module, settings = variants.build(views.PACKAGE, name, options or {})
        self.view = module.View(settings)
        self.opening = np.array([self.vocab.bos_token_id, *self._words(settings.instruction)], dtype=np.int64)
        self.items = None if items is None else items.to(self.device)
        self.dense_weight = dense_weight
        self._meta = {**self._meta, "view": {"name": name, "options": options or {}}, "items": items is not None}

    def _words(self, text: str) -> list[int]:
        """Token ids of a text, by the tokenizer of the model's folder."""
        if not text:
            return []
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(
            str(self._tokenizer_files), local_files_only=True, trust_remote_code=False
        )
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    def item_inputs(self, items: torch.Tensor) -> torch.Tensor:
        """Vectors float32 [..., D] of items int64[...] as the model reads them, with dropout in train mode."""
        vectors = self._item_vectors()(items, self._code_rows())
        return nn.functional.dropout(vectors, self._dropout_rate, self.model.training)

    def check_catalogue(self, sids: np.ndarray) -> None:
        """Raises DataError when `sids` is not as long as the catalogue the model's item vectors belong to."""
        if len(sids) != len(self._item_vectors()):
            raise DataError(
                f"the model was trained on {len(self._item_vectors())} items but there are {len(sids)} semantic ids; "
                "recompute the sft stage"
            )

    def _item_vectors(self) -> ItemVectors:
        if self.items is None:
            raise DataError("the model holds no item vectors; the view item_tokens and a dense head need them")
        return self.items

    def _code_rows(self) -> torch.Tensor:
        """The effective input embeddings of the semantic-id tokens, [L * K, D], differentiable."""
        embedding = self.causal_model.get_input_embeddings()
        return adapter.token_rows(embedding, self.vocab.first_token_id, self.vocab.end_token_id)

    @property
    def successor_window(self) -> int:
        """How many items behind a history count as its successors; 0 where no transition table joins the search."""
        table = self.items.successors if self.items is not None and self.dense_weight else None
        return 0 if table is None or not self.successor_share else int(table.window)

    def item_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """The dense head: float32 [..., N], the last hidden state of a history, [..., D], against every item's vector."""
        with self.precision():
            table = self._item_vectors().table(self._code_rows())
            return (hidden @ table.to(hidden.dtype).T).float()

    def dense_prefixes(self, hidden: torch.Tensor, prompts: PromptBatch) -> PrefixLogProbs:
        """What the dense head says about every prefix of the catalogue's ids, from last hidden states [B, D].

        The transition table goes by the histories of the prompts.
        """
        items = self._item_vectors()
        log_probs = self.item_logits(hidden).log_softmax(-1)
        if self.successor_share and items.successors is not None:
            log_probs = items.successors.mix(log_probs, prompts.histories, self.successor_share, prompts.following)
        return PrefixLogProbs(items.trie, log_probs)
