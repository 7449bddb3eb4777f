"""The model as a recommender: a causal language model, its semantic-id vocabulary, and the forwards that search,
reinforcement learning, fine-tuning and evaluation share.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from genrec import variants
from genrec.errors import DataError
from genrec.model import folder, opening, outputs, precision, views
from genrec.model.history_view import HistoryView
from genrec.model.item_vectors import ItemVectors
from genrec.model.language_model import LanguageModel
from genrec.model.output import Output
from genrec.model.prefix_tuning import parts_of
from genrec.model.vocab import SidVocabulary
from genrec.search import layout
from genrec.search.attention import pack_heads
from genrec.search.decode import StepScores
from genrec.search.layout import PromptBatch
from genrec.search.packed import can_pack
from genrec.search.prefix_blocks import HELD_ENTRIES
from genrec.search.prefixes import PrefixLogProbs


class Policy(LanguageModel):
    """A transformers causal model (possibly with a PEFT adapter) that recommends items by their semantic ids.

    Shapes: B prompts, P prompt positions, G candidates, W beam width, L levels, K codes, D hidden size, N items.

    `use_items` gives it vectors of the items, for a history view that reads them and for a dense head that ranks them
    on the same forward. With a dense head of weight w, the score of a code after a prefix is
    (1 - w) log p(code) + w log q(code | prefix), q being the dense head's softmax over the catalogue, summed over the
    items of a prefix: a score adds up to (1 - w) log p(item) + w log q(item). In search a table of
    transitions may take a share of q (`genrec.model.transitions`).
    """

    view: HistoryView
    output: Output  # what a step of an id is chosen by
    opening: np.ndarray  # int64[O], the tokens every prompt starts with (`genrec.model.opening`)
    items: ItemVectors | None
    dense_weight: float | None  # None: no dense head
    transition_share: float = 0.0  # of the transition table in the dense head's distribution

    def __init__(
        self, model: nn.Module, vocab: SidVocabulary, max_history: int, meta: dict[str, Any], tokenizer_files: Path
    ) -> None:
        super().__init__(model, vocab)
        if self.device.type == "cuda":
            pack_heads(self.body)
        self.max_history = max_history
        self._meta = meta
        self._tokenizer_files = tokenizer_files
        view = meta.get("view", {"name": "sid_tokens", "options": {}})
        self.use_items(None, view["name"], view["options"])

    @classmethod
    def load(
        cls,
        folder_: Path,
        base_folder: Path | None = None,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
        max_history: int | None = None,
        trainable: bool = False,
    ) -> "Policy":
        """Load the artifact of base, sft or rl; an adapter folder needs the folder of the base it was trained on.

        `max_history` defaults to what the folder was trained with. With `trainable`, an adapter's weights require
        gradients. Raises DataError when the folder is not such an artifact.
        """
        device = torch.device(device) if device is not None else precision.default_device()
        meta = folder.read_meta(folder_)
        history = max_history if max_history is not None else meta.get("max_history")
        if history is None:
            raise DataError(f"{folder_}: {folder.META_FILE} has no max_history; pass one")
        model = folder.load_model(folder_, base_folder, meta, device, dtype, trainable)
        model.eval()
        policy = cls(model, folder.vocabulary(meta), int(history), meta, folder_)
        if meta.get("items"):
            items = ItemVectors.load(folder_, policy.vocab.num_codes)
            items.requires_grad_(trainable or not policy.has_adapter)
            output = meta.get("output", {"name": "codes", "options": {}})
            policy.use_items(items, **meta["view"], dense_weight=meta.get("dense_weight"), output=output)
            policy.transition_share = meta.get("successor_share", 0.0)
        return policy

    def save(self, folder_: Path, **meta: Any) -> None:
        """Write weights (the adapter alone when there is one), tokenizer and `genrec.json`, updated by `meta`.

        The same weights give the same bytes.
        """
        folder.save_model(folder_, self.model, self._tokenizer_files)
        if self.items is not None:
            self.items.save(folder_)
            meta |= {"dense_weight": self.dense_weight, "successor_share": self.transition_share}
        folder.write_meta(folder_, {**self._meta, "max_history": self.max_history, **meta})

    def use_items(
        self,
        items: ItemVectors | None,
        name: str = "sid_tokens",
        options: dict[str, Any] | None = None,
        dense_weight: float | None = None,
        output: dict[str, Any] | None = None,
    ) -> None:
        """Read histories through the view `name` (a module of genrec/model/views), with vectors of the items if given.

        `dense_weight`, 0..1, is the dense head's share of a score; None goes without such a head. `output` holds name
        and options of a module of genrec/model/outputs, by default `codes`.
        """
        output = output or {"name": "codes", "options": {}}
        written, output_settings = variants.build(outputs.PACKAGE, output["name"], output["options"])
        self.output = written.Output(output_settings)
        module, settings = variants.build(views.PACKAGE, name, options or {})
        self.view = module.View(settings)
        asked = {"name": name, "options": options or {}}
        kept = self._meta.get("opening") if self._meta.get("view") == asked else None
        self.opening = np.array(kept or opening.token_ids(self._tokenizer_files, self.vocab, settings), dtype=np.int64)
        self.items = None if items is None else items.to(self.device)
        self.dense_weight = dense_weight
        chosen = {"view": asked, "opening": self.opening.tolist(), "output": output, "items": items is not None}
        self._meta = {**self._meta, **chosen}

    def trainable_parameters(self) -> dict[str, nn.Parameter]:
        """Parameters that require gradients, by name, in a fixed order."""
        parameters = dict(self.model.named_parameters())
        if self.items is not None:
            parameters |= {f"items.{name}": p for name, p in self.items.named_parameters()}
        return {name: p for name, p in parameters.items() if p.requires_grad}

    # ---- inputs -------------------------------------------------------------------------------------------------------

    def prompts(
        self,
        histories: Sequence[np.ndarray | list[int]],
        sids: np.ndarray,
        following: np.ndarray | None = None,
    ) -> PromptBatch:
        """BOS and the last `max_history` items (oldest first) through the history view, padded on the left.

        `sids` is int[N, L], row i being item i. `following` int64[B, F] is for histories cut from the training
        sequences: the items after them, padded with -1. An empty history is BOS alone. Tensors are on the
        device of the model; what an id stands for is defined by the view.
        """
        cut = [np.asarray(h, dtype=np.int64)[-self.max_history :] for h in histories]
        ids, mask = self.view.prompt_ids(self, cut, sids)
        return layout.on_device(self.device, ids, mask, layout.newest_first(cut), following)

    def prompt_embeds(self, prompts: PromptBatch) -> torch.Tensor:
        """The model's input for prompts, [B, P, D], differentiable."""
        return self.view.embed(self, prompts.input_ids)

    def item_inputs(self, items: torch.Tensor) -> torch.Tensor:
        """Vectors float32 [..., D] of items int64[...] as the model reads them, with dropout in train mode."""
        vectors = self._item_vectors()(items, self.code_rows())
        return self.dropout(vectors)

    def check_catalogue(self, sids: np.ndarray) -> None:
        """Raises DataError when `sids` is not as long as the catalogue the model's item vectors belong to."""
        self._item_vectors().check_catalogue(sids)

    def _item_vectors(self) -> ItemVectors:
        if self.items is None:
            raise DataError("the model holds no item vectors; the view item_tokens and a dense head need them")
        return self.items

    # ---- logits -------------------------------------------------------------------------------------------------------

    def code_logits(self, hidden: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """float32[T, L, K], differentiable: the output's logits of the states [T, L, D] that predict ids int64[T, L].

        -inf at codes that the output does not choose among.
        """
        return self.output.logits(self, hidden, codes)

    def step_scores(self) -> StepScores:
        """The output with its weights as they are now, for searches."""
        return self.output.step_scores(self)

    def sequence_hidden(self, codes: torch.Tensor, items: torch.Tensor | None = None) -> torch.Tensor:
        """Hidden states [B, M, L, D] that predict every level of every item of whole histories in one pass.

        `codes` int64[B, M, L] and, for a view that reads items, their numbers `items` int64[B, M], oldest first, padded
        on the right with anything valid. The model sees exactly what `prompts` would show it for the items before, as
        long as M <= max_history + 1.
        """
        with self.precision():
            return self.view.sequence_hidden(self, codes, items)

    @property
    def can_pack(self) -> bool:
        """Whether `packed_hidden` is there: on a GPU in bfloat16, for a view that has it, where nothing precedes a prompt and
        no attention weight is dropped.
        """
        half = self.forward_dtype == torch.bfloat16 and not self._dropout_rate
        return half and hasattr(self.view, "packed_hidden") and can_pack(self.body) and not parts_of(self.causal_model)

    def packed_hidden(self, codes: torch.Tensor, lengths: np.ndarray) -> torch.Tensor:
        """`sequence_hidden` without padding: hidden states [N, L, D] that predict every level of every item of histories that
        stand one after the other, `codes` int64[N, L], `lengths` int64[B] items each.
        """
        with self.precision():
            return self.view.packed_hidden(self, codes, lengths)  # type: ignore[attr-defined]

    def candidate_logits(self, prompts: PromptBatch, sids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits float32[B, G, L, K] and hidden states [B, G, L, D] at each level of given candidates.

        `sids` int64[B, G, L] (-1 counts as code 0: mask what comes out). One differentiable forward of
        P + G * (L - 1) positions, in the mode (train or eval) the model is in.
        """
        with self.precision():
            codes = sids.clamp_min(0)
            embeds, tokens = self.prompt_embeds(prompts), self.token_ids(codes)
            hidden = layout.candidate_hidden(self.body, embeds, prompts.attention_mask, tokens)
            logits = self.code_logits(hidden.flatten(0, 1), codes.flatten(0, 1))
            return logits.view(*codes.shape, -1), hidden

    def candidate_log_probs(self, prompts: PromptBatch, sids: torch.Tensor) -> torch.Tensor:
        """log p of each code of given candidates by the output, float32[B, G, L], differentiable.

        With a dense head, the joined score of each code. `sids` int64[B, G, L]; entries of -1 give 0 and no gradient.
        """
        return self.candidate_scores(prompts, sids)[0]

    def candidate_scores(self, prompts: PromptBatch, sids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`candidate_log_probs` and, of the same forward, the hidden states [B, G, L, D] that predict each code."""
        logits, hidden = self.candidate_logits(prompts, sids)
        chosen = logits.log_softmax(-1).gather(-1, sids.clamp_min(0).unsqueeze(-1)).squeeze(-1)
        if self.dense_weight:
            dense = self.dense_prefixes(hidden[:, 0, 0], prompts)
            chosen = (1 - self.dense_weight) * chosen + self.dense_weight * dense.path(sids.clamp_min(0))
        return chosen.masked_fill(sids < 0, 0.0), hidden

    # ---- the dense head -----------------------------------------------------------------------------------------------

    def item_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """float32 [..., N]: the last hidden state of a history, [..., D], against every item's vector."""
        return self._item_vectors().logits(hidden, self.code_rows())

    def vectors_of(self, items: torch.Tensor) -> torch.Tensor:
        """float32[n, D] of items int64[n], as the dense head has them, differentiable."""
        with precision.in_float32(self.device):
            return self._item_vectors()(items, self.code_rows())

    def some_item_logits(
        self, hidden: torch.Tensor, own: torch.Tensor, items: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """float32[T] and [T, S] of `item_logits` of states [T, D]: each against an item of its own, int64[T], and all
        against the same `items` int64[S]. No other item is looked at.
        """
        return self._item_vectors().some_logits(hidden, own, items, self.code_rows())

    def dense_prefixes(self, hidden: torch.Tensor, prompts: PromptBatch) -> PrefixLogProbs:
        """The dense head's log q of every prefix of the catalogue's ids, from last hidden states [B, D].

        Without gradients and for a large catalogue, it is computed in blocks of items (`genrec.search.prefix_blocks`).
        """
        items = self._item_vectors()
        if not torch.is_grad_enabled() and len(hidden) * len(items) > HELD_ENTRIES:
            return items.prefixes_in_blocks(hidden, self.code_rows(), prompts, self.transition_share)
        return items.prefixes(self.item_logits(hidden), prompts, self.transition_share)

    @property
    def transition_window(self) -> int:
        """Items after a history that its transitions reach; 0 where no transition table joins the search."""
        table = self.items.transitions if self.items is not None and self.dense_weight else None
        return 0 if table is None or not self.transition_share else int(table.window)
