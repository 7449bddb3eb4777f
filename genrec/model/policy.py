"""The model as a recommender: a causal language model, its semantic-id vocabulary, and the forwards that search,
reinforcement learning, fine-tuning and evaluation share.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from genrec.errors import DataError
from genrec.model import adapter, folder
from genrec.model.dropout import Dropout
from genrec.model.item_head import ItemVectors
from genrec.model.item_part import ItemPart
from genrec.model.vocab import SidVocabulary
from genrec.search import decode, layout
from genrec.search.decode import Candidates
from genrec.search.layout import PromptBatch
from genrec.search.trie import Trie

__all__ = ["Candidates", "Policy", "PromptBatch", "computes_bf16", "default_device"]


def default_device() -> torch.device:
    """The first GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def computes_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 in hardware; CPUs that emulate it are 30 to 90 times slower than in float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


class Policy(ItemPart):
    """A transformers causal model (possibly with a PEFT adapter) that recommends items by their semantic ids.

    Shapes: B prompts, P prompt positions, G candidates, W beam width, L levels, K codes, D hidden size, N items.

    `use_items` gives it vectors of the items, for a history view that reads them and for a dense head that ranks them
    on the same forward. With a dense head of weight w, the score of a code behind a prefix is
    (1 - w) log p(code) + w log q(code | prefix), q being what the dense head's softmax over the catalogue makes of a
    prefix (the sum over its items): a score adds up to (1 - w) log p(item) + w log q(item). In search a table of
    transitions may take a share of q (`genrec.model.transitions`).
    """

    def __init__(
        self, model: nn.Module, vocab: SidVocabulary, max_history: int, meta: dict[str, Any], tokenizer_files: Path
    ) -> None:
        self.model = model
        self.vocab = vocab
        self.max_history = max_history
        self._meta = meta
        self._tokenizer_files = tokenizer_files
        self._dropout: Dropout | None = None
        self._offsets = torch.from_numpy(vocab.level_offsets()).to(self.device)
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
        device = torch.device(device) if device is not None else default_device()
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
            policy.use_items(items, **meta["view"], dense_weight=meta.get("dense_weight"))
            policy.successor_share = meta.get("successor_share", 0.0)
        return policy

    def save(self, folder_: Path, **meta: Any) -> None:
        """Write weights (the adapter alone when there is one), tokenizer and `genrec.json`, updated by `meta`.

        The same weights give the same bytes.
        """
        folder.save_model(folder_, self.model, self._tokenizer_files)
        if self.items is not None:
            self.items.save(folder_)
            meta |= {"dense_weight": self.dense_weight, "successor_share": self.successor_share}
        folder.write_meta(folder_, {**self._meta, "max_history": self.max_history, **meta})

    # ---- the model ----------------------------------------------------------------------------------------------------

    @property
    def meta(self) -> dict[str, Any]:
        """What `genrec.json` of the loaded folder says (kind, vocabulary, adapter)."""
        return dict(self._meta)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def has_adapter(self) -> bool:
        return hasattr(self.model, "peft_config")

    @property
    def causal_model(self) -> Any:
        """The transformers model with its output head, inside a PEFT model when there is one."""
        return self.model.get_base_model() if self.has_adapter else self.model  # type: ignore[operator]

    @property
    def body(self) -> Any:
        """The transformer without the output head: token ids to hidden states [B, T, D]."""
        return self.causal_model.base_model

    def trainable_parameters(self) -> dict[str, nn.Parameter]:
        """Parameters that require gradients, by name, in a fixed order."""
        parameters = dict(self.model.named_parameters())
        if self.items is not None:
            parameters |= {f"items.{name}": p for name, p in self.items.named_parameters()}
        return {name: p for name, p in parameters.items() if p.requires_grad}

    def set_dropout(self, p: float) -> None:
        """Dropout on embeddings, attention weights and residual branches, active in train mode only; 0 removes it."""
        if self._dropout is not None:
            self._dropout.remove()
        self._dropout = Dropout(self.causal_model, p) if p > 0 else None
        self._dropout_rate = p

    @contextlib.contextmanager
    def inference(self) -> Iterator[None]:
        """Evaluation mode without gradients; the mode before is restored."""
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad(), self.precision():
                yield
        finally:
            self.model.train(was_training)

    # ---- inputs -------------------------------------------------------------------------------------------------------

    def prompts(
        self,
        histories: Sequence[np.ndarray | list[int]],
        sids: np.ndarray,
        following: np.ndarray | None = None,
    ) -> PromptBatch:
        """BOS and the last `max_history` items (oldest first) through the history view, padded on the left.

        `sids` is int[N, L], row i being item i. `following` int64[B, F] is for histories cut from the training
        sequences: the items behind them, padded with -1. An empty history is BOS alone. Tensors are on the
        device of the model; the view knows what the ids stand for.
        """
        cut = [np.asarray(h, dtype=np.int64)[-self.max_history :] for h in histories]
        ids, mask = self.view.prompt_ids(self, cut, sids)
        newest = layout.newest_first(cut)
        arrays = (ids, mask, newest, *([] if following is None else [following]))
        return PromptBatch(*(torch.from_numpy(array).to(self.device) for array in arrays))

    def prompt_embeds(self, prompts: PromptBatch) -> torch.Tensor:
        """The model's input for prompts, [B, P, D], differentiable."""
        return self.view.embed(self, prompts.input_ids)

    def token_ids(self, codes: torch.Tensor, level: int | None = None) -> torch.Tensor:
        """Token ids of `codes`: of one level (any shape), or of all levels along the last axis ([..., L])."""
        return codes + (self._offsets if level is None else self._offsets[level])

    # ---- logits -------------------------------------------------------------------------------------------------------

    def head_rows(self) -> torch.Tensor:
        """The effective rows of the output head for semantic-id tokens, [L, K, D], differentiable.

        A PEFT adapter that trains these rows holds them itself, in token order.
        """
        head = self.causal_model.get_output_embeddings()
        first, end = self.vocab.first_token_id, self.vocab.end_token_id
        rows = adapter.token_rows(head, first, end)
        return rows.view(self.vocab.num_levels, self.vocab.num_codes, -1)

    def level_logits(self, hidden: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
        """float32 logits over the codes of a level.

        With `rows` [K, D] (one entry of `head_rows`): hidden [..., D] -> [..., K]. Without: hidden [..., L, D] ->
        [..., L, K], each level against its own rows.
        """
        if rows is not None:
            return (hidden @ rows.to(hidden.dtype).T).float()
        heads = self.head_rows().to(hidden.dtype)
        flat = hidden.reshape(-1, *hidden.shape[-2:]).transpose(0, 1)  # [L, T, D]
        return (flat @ heads.transpose(1, 2)).transpose(0, 1).reshape(*hidden.shape[:-1], -1).float()

    def sequence_hidden(self, codes: torch.Tensor, items: torch.Tensor | None = None) -> torch.Tensor:
        """Hidden states [B, M, L, D] that predict every level of every item of whole histories in one pass.

        `codes` int64[B, M, L] and, for a view that reads items, their numbers `items` int64[B, M], oldest first, padded
        on the right with anything valid. The model sees exactly what `prompts` would show it for the items before, as
        long as M <= max_history + 1.
        """
        with self.precision():
            return self.view.sequence_hidden(self, codes, items)

    def sequence_logits(
        self, codes: torch.Tensor, targets: torch.Tensor | None = None, items: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits for every level of every item of whole histories in one pass, as `sequence_hidden` sees them.

        `targets` bool[B, M] picks the items whose logits are wanted. Returns float32[B, M, L, K], or [T, L, K] for T
        picked targets (row-major order).
        """
        hidden = self.sequence_hidden(codes, items)
        with self.precision():
            return self.level_logits(hidden if targets is None else hidden[targets])

    def candidate_logits(self, prompts: PromptBatch, sids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits float32[B, G, L, K] and hidden states [B, G, L, D] at each level of given candidates.

        `sids` int64[B, G, L] (-1 counts as code 0: mask what comes out). One differentiable forward of
        P + G * (L - 1) positions, in the mode (train or eval) the model is in.
        """
        with self.precision():
            tokens = self.token_ids(sids.clamp_min(0))
            hidden = layout.candidate_hidden(self.body, self.prompt_embeds(prompts), prompts.attention_mask, tokens)
            return self.level_logits(hidden), hidden

    def candidate_log_probs(self, prompts: PromptBatch, sids: torch.Tensor) -> torch.Tensor:
        """log p of each code of given candidates under that level's K codes, float32[B, G, L], differentiable.

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

    # ---- search -------------------------------------------------------------------------------------------------------

    def beam_search(
        self,
        prompts: PromptBatch,
        trie: Trie,
        width: int,
        banned: Sequence[np.ndarray] | None = None,
        allowed: Sequence[np.ndarray | None] | None = None,
    ) -> Candidates:
        """The best `width` items by constrained beam search, best first, in L forwards.

        `banned[b]` items are left out by the search itself, so `width` others are found where the beam meets them;
        `allowed[b]`, unless None, limits a row to those items (an empty one gives an empty list).
        """
        return decode.beam_search(self, prompts, trie, width, trie.restrict(banned, allowed))

    def sample(
        self,
        prompts: PromptBatch,
        trie: Trie,
        num_samples: int,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        banned: Sequence[np.ndarray] | None = None,
        distinct: bool = False,
    ) -> Candidates:
        """Draws of items at `temperature`, renormalised over what the trie allows: independent ones, or, with
        `distinct`, without replacement.

        `log_probs` are the policy's own (temperature 1, over all K codes). `generator` lives on the model's device.
        """
        draw = decode.sample_distinct if distinct else decode.sample
        return draw(self, prompts, trie, num_samples, temperature, generator, trie.restrict(banned))

    def merged(self) -> "Policy":
        """The same policy with its adapter added into the weights of the base; itself where it has none.

        Quantised weights cannot take an adapter exactly: raises DataError for QLoRA.
        """
        if not self.has_adapter:
            return self
        if self._meta.get("adapter") == "qlora":
            raise DataError("a QLoRA adapter cannot be merged exactly into 4-bit weights; train with adapter lora")
        model = self.model.merge_and_unload()  # type: ignore[operator]
        merged = Policy(model, self.vocab, self.max_history, {**self._meta, "adapter": "full"}, self._tokenizer_files)
        merged.use_items(self.items, **self._meta["view"], dense_weight=self.dense_weight)
        merged.successor_share = self.successor_share
        return merged
