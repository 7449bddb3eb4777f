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
from genrec.lm import adapter, decode, folder, layout
from genrec.lm.decode import Candidates
from genrec.lm.dropout import Dropout
from genrec.lm.layout import PromptBatch
from genrec.lm.trie import Trie
from genrec.lm.vocab import SidVocabulary

__all__ = ["Candidates", "Policy", "PromptBatch", "default_device"]


def default_device() -> torch.device:
    """The first GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Policy:
    """A transformers causal model (possibly with a PEFT adapter) that recommends items by their semantic ids.

    Shapes: B prompts, P prompt tokens, G candidates, W beam width, L levels, K codes, D hidden size.
    """

    def __init__(
        self, model: nn.Module, vocab: SidVocabulary, max_history: int, meta: dict[str, Any], tokenizer_files: Path
    ) -> None:
        self.model = model
        self.vocab = vocab
        self.max_history = max_history
        self.autocast = False  # True: forwards run in bfloat16, log-probabilities stay float32
        self._meta = meta
        self._tokenizer_files = tokenizer_files
        self._dropout: Dropout | None = None
        self._offsets = torch.from_numpy(vocab.level_offsets()).to(self.device)

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
        return cls(model, folder.vocabulary(meta), int(history), meta, folder_)

    def save(self, folder_: Path, **meta: Any) -> None:
        """Write weights (the adapter alone when there is one), tokenizer and `genrec.json`, updated by `meta`.

        The same weights give the same bytes.
        """
        folder.save_model(folder_, self.model, self._tokenizer_files)
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
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def set_dropout(self, p: float) -> None:
        """Dropout on embeddings, attention weights and residual branches, active in train mode only; 0 removes it."""
        if self._dropout is not None:
            self._dropout.remove()
        self._dropout = Dropout(self.causal_model, p) if p > 0 else None

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

    @contextlib.contextmanager
    def precision(self) -> Iterator[None]:
        """bfloat16 autocast when `autocast` is set; nothing otherwise."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.autocast):
            yield

    # ---- tokens -------------------------------------------------------------------------------------------------------

    def prompts(self, histories: Sequence[np.ndarray | list[int]], sids: np.ndarray) -> PromptBatch:
        """BOS and the semantic ids of the last `max_history` items (oldest first), padded on the left.

        `sids` is int[N, L], row i being item i. An empty history is BOS alone. Returns int64[B, P] twice, on the
        device of the model.
        """
        cut = [np.asarray(h, dtype=np.int64)[-self.max_history :] for h in histories]
        num_levels = self.vocab.num_levels
        lengths = np.array([len(h) for h in cut], dtype=np.int64) * num_levels
        width = 1 + int(lengths.max(initial=0))
        starts = width - lengths[:, None]
        columns = np.arange(width)[None, :]
        input_ids = np.full((len(cut), width), self.vocab.pad_token_id, dtype=np.int64)
        items = np.concatenate(cut) if cut else np.empty(0, np.int64)
        input_ids[columns >= starts] = self.vocab.token_ids(sids[items]).reshape(-1)
        input_ids[columns == starts - 1] = self.vocab.bos_token_id
        mask = (columns >= starts - 1).astype(np.int64)
        return PromptBatch(torch.from_numpy(input_ids).to(self.device), torch.from_numpy(mask).to(self.device))

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
        rows = adapter.head_rows(head, first, end)
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

    def sequence_logits(self, codes: torch.Tensor, targets: torch.Tensor | None = None) -> torch.Tensor:
        """Logits for every level of every item of whole histories in one pass (fine-tuning).

        `codes` int64[B, M, L], oldest first, padded on the right with any codes. `targets` bool[B, M] picks the items
        whose logits are wanted. Returns float32[B, M, L, K], or [T, L, K] for T picked targets (row-major order).
        The model sees exactly what `prompts` would show it for the items before, as long as M <= max_history + 1.
        """
        with self.precision():
            hidden = layout.sequence_hidden(self.body, self.token_ids(codes), self.vocab.bos_token_id)
            return self.level_logits(hidden if targets is None else hidden[targets])

    def candidate_logits(self, prompts: PromptBatch, sids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits float32[B, G, L, K] and hidden states [B, G, L, D] at each level of given candidates.

        `sids` int64[B, G, L] (-1 counts as code 0: mask what comes out). One differentiable forward of
        P + G * (L - 1) tokens, in the mode (train or eval) the model is in.
        """
        with self.precision():
            hidden = layout.candidate_hidden(self.body, prompts, self.token_ids(sids.clamp_min(0)))
            return self.level_logits(hidden), hidden

    def candidate_log_probs(self, prompts: PromptBatch, sids: torch.Tensor) -> torch.Tensor:
        """log p of each code of given candidates under that level's K codes, float32[B, G, L], differentiable.

        `sids` int64[B, G, L]; entries of -1 give 0 and no gradient.
        """
        logits, _ = self.candidate_logits(prompts, sids)
        chosen = logits.log_softmax(-1).gather(-1, sids.clamp_min(0).unsqueeze(-1)).squeeze(-1)
        return chosen.masked_fill(sids < 0, 0.0)

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
    ) -> Candidates:
        """Independent draws of items at `temperature`, renormalised over what the trie allows.

        `log_probs` are the policy's own (temperature 1, over all K codes). `generator` lives on the model's device.
        """
        return decode.sample(self, prompts, trie, num_samples, temperature, generator, trie.restrict(banned))
