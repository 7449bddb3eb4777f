"""The transformers causal model under a policy: device and adapter, precision and dropout of its forwards, and the rows of
its semantic-id tokens.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from genrec.model import adapter, precision
from genrec.model.dropout import Dropout
from genrec.model.vocab import SidVocabulary


class LanguageModel:
    """Shapes: L levels, K codes, D hidden size."""

    forward_dtype: torch.dtype = torch.float32  # bfloat16: forwards run under autocast, log-probabilities stay float32
    search_dtype: torch.dtype = torch.float32  # of the body's products in search; bfloat16 where forwards have it

    def __init__(self, model: nn.Module, vocab: SidVocabulary) -> None:
        """`model` may be a PEFT model."""
        self.use_model(model)
        self.vocab = vocab
        self._dropout: Dropout | None = None
        self._dropout_rate = 0.0
        self._offsets = torch.from_numpy(vocab.level_offsets()).to(self.device)

    def use_model(self, model: nn.Module) -> None:
        """Compute with this model from now on: the first one, or a copy of it."""
        self.model = model
        self._casting_layers = adapter.casting_layers(model) if self.has_adapter else []

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

    def set_dropout(self, p: float) -> None:
        """Dropout on embeddings, attention weights and residual branches, active in train mode only; 0 removes it."""
        if self._dropout is not None:
            self._dropout.remove()
        self._dropout = Dropout(self.causal_model, p) if p > 0 else None
        self._dropout_rate = p

    def dropout(self, vectors: torch.Tensor) -> torch.Tensor:
        """The same dropout on inputs that are no rows of the embedding."""
        return nn.functional.dropout(vectors, self._dropout_rate, self.model.training)

    @contextlib.contextmanager
    def precision(self) -> Iterator[None]:
        """bfloat16 autocast where `forward_dtype` asks for it; nothing otherwise."""
        with contextlib.ExitStack() as stack:
            if self.forward_dtype == torch.bfloat16:
                stack.enter_context(adapter.inputs_as_they_are(self._casting_layers))
                stack.enter_context(torch.autocast(self.device.type, dtype=torch.bfloat16))
            yield

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

    def token_ids(self, codes: torch.Tensor, level: int | None = None) -> torch.Tensor:
        """Token ids of `codes`: of one level (any shape), or of all levels along the last axis ([..., L])."""
        return codes + (self._offsets if level is None else self._offsets[level])

    def code_rows(self) -> torch.Tensor:
        """The effective input embeddings of the semantic-id tokens, [L * K, D], differentiable."""
        embedding = self.causal_model.get_input_embeddings()
        return adapter.token_rows(embedding, self.vocab.first_token_id, self.vocab.end_token_id)

    def head_rows(self) -> torch.Tensor:
        """The effective rows of the output head for semantic-id tokens, [L, K, D], differentiable.

        A PEFT adapter that trains these rows holds them itself, in token order.
        """
        head = self.causal_model.get_output_embeddings()
        first, end = self.vocab.first_token_id, self.vocab.end_token_id
        rows = adapter.token_rows(head, first, end)
        return rows.view(self.vocab.num_levels, self.vocab.num_codes, -1)

    def level_logits(self, hidden: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
        """float32 logits over the codes of a level by their rows alone.

        With `rows` [K, D] (one entry of `head_rows`): hidden [..., D] -> [..., K]. Without: hidden [..., L, D] -> [..., L, K],
        each level against its own rows.
        """
        return precision.products(hidden, self.head_rows() if rows is None else rows)
