"""Dropout for models whose architecture has none: forward hooks on stock transformers modules."""

from typing import Any

from torch import nn


class Dropout:
    """Dropout on embeddings, attention weights and residual branches of a Qwen2-like model, in train mode only.

    The places are those of the original transformer (Vaswani et al. 2017, section 5.4) and of GPT-2.
    """

    def __init__(self, causal_model: Any, p: float) -> None:
        self._handles = []
        self._attention = []

        def drop(module: nn.Module, inputs: Any, output: Any) -> Any:
            if not module.training:
                return output
            if isinstance(output, tuple):
                return (nn.functional.dropout(output[0], p), *output[1:])
            return nn.functional.dropout(output, p)

        self._handles.append(causal_model.get_input_embeddings().register_forward_hook(drop))
        for layer in causal_model.base_model.layers:
            self._handles.append(layer.self_attn.register_forward_hook(drop))
            self._handles.append(layer.mlp.register_forward_hook(drop))
            self._attention.append((layer.self_attn, layer.self_attn.attention_dropout))
            layer.self_attn.attention_dropout = p

    def remove(self) -> None:
        """Leave the model as it was."""
        for handle in self._handles:
            handle.remove()
        for attention, before in self._attention:
            attention.attention_dropout = before
