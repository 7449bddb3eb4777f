"""The models of a config on the device that is not there (`genrec.plan.device`), in the types in which a run holds them."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import flop_registry, register_flop_formula

from genrec.errors import ConfigError
from genrec.model.policy import Policy
from genrec.model.vocab import SidVocabulary
from genrec.plan.shapes import ModelShape
from genrec.search.trie import Trie
from genrec.train.sft.train import add_items, attach_adapter

if TYPE_CHECKING:
    from genrec.config import SftConfig

_BLOCK = 64  # weights that share a scale: bitsandbytes' default
_SCALES = 256  # of them share one of the second quantisation
_LETTERS_A_TOKEN = 4  # of an instruction whose tokenizer is not at hand, about


def causal_model(config: Any, device: torch.device, dtype: torch.dtype, quantize: bool = False) -> Any:
    """A transformers causal model of this config; `quantize` packs its linear layers as `folder.load_causal_model` does."""
    from transformers import AutoModelForCausalLM

    with _quick(), device:
        model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa").eval()
        model.tie_weights()  # left out with the initial weights
        if quantize:
            _pack(model, dtype)
    return model


def encoder(config: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """The same without an output head, as embeddings take it."""
    from transformers import AutoModel

    with _quick(), device:
        return AutoModel.from_config(config, dtype=dtype).eval()


@contextlib.contextmanager
def _quick() -> Iterator[None]:
    from transformers.initialization import no_init_weights

    with no_init_weights():
        yield


def _pack(model: Any, dtype: torch.dtype) -> None:
    """Linear layers but the output head become bitsandbytes' with NF4 weights and scales that are quantised too."""
    try:
        from bitsandbytes.nn import Linear4bit
    except ImportError as error:
        raise ConfigError("sft.adapter is qlora, which needs bitsandbytes; install it, or set it to lora") from error
    if torch.ops.bitsandbytes.gemm_4bit not in flop_registry:
        register_flop_formula(torch.ops.bitsandbytes.gemm_4bit)(_packed_product)
    head = model.get_output_embeddings()
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Linear and child is not head:
                with torch.device("meta"):
                    packed = Linear4bit(
                        child.in_features, child.out_features, child.bias is not None, dtype, quant_type="nf4"
                    )
                packed.weight, packed.bias = _nf4(child.weight), child.bias
                packed.train(child.training)
                setattr(parent, name, packed)
    model.is_loaded_in_4bit = True


def _packed_product(states: Any, packed: Any, weight: Any, *_: Any, **__: Any) -> int:
    """Operations of states [..., K] with packed weights of shape [N, K]."""
    return 2 * math.prod(states) * weight[0]


def _nf4(weight: torch.Tensor) -> Any:
    """Packed weights as a parameter with what bitsandbytes' layers look for on it."""
    from bitsandbytes import functional

    packed, absmax = torch.ops.bitsandbytes.quantize_4bit(weight.detach(), _BLOCK, "nf4", torch.uint8)
    offset = absmax.mean()
    # Its own code of 8 bits: bitsandbytes would keep the fake one for the process.
    scales, nested = functional.quantize_blockwise(absmax - offset, code=torch.empty(256), blocksize=_SCALES)
    parameter: Any = nn.Parameter(packed, requires_grad=False)
    parameter.quant_type, parameter.compress_statistics, parameter.bnb_quantized = "nf4", True, True
    parameter.quant_state = functional.QuantState(
        absmax=scales,
        shape=weight.shape,
        dtype=weight.dtype,
        blocksize=_BLOCK,
        code=torch.empty(16),
        quant_type="nf4",
        offset=offset,
        state2=nested,
    )
    return parameter


def policy(
    shape: ModelShape,
    config: "SftConfig",
    sids: np.ndarray,
    num_codes: int,
    text_width: int,
    max_history: int,
    device: torch.device,
    compute: torch.dtype,
    use: Literal["training", "search"],
) -> Policy:
    """The model of sft or rl. `sids` int[N, L]; `text_width` dimensions of the vectors of the embed stage.

    All weights are trained: float32. An adapter is: float32 on a base in `compute`; in search, all of it is in `compute`.
    """
    num_levels = sids.shape[1]
    vocab = SidVocabulary(num_levels, num_codes, shape.num_tokens, bos_token_id=0, pad_token_id=0)
    frozen = config.adapter != "full" or use == "search"
    dtype = compute if frozen else torch.float32
    model = causal_model(shape.with_tokens(vocab.num_tokens), device, dtype, config.adapter == "qlora")
    if config.adapter != "full":
        with device:
            model = attach_adapter(model, vocab, config, 0).eval()
    if use == "search":
        for parameter in model.parameters():
            parameter.requires_grad_(False)
            if parameter.dtype == torch.float32:
                parameter.data = parameter.data.to(compute)
    meta = {"kind": "base", "adapter": config.adapter, "vocabulary": vars(vocab), "max_history": max_history}
    made = Policy(model, vocab, max_history, meta, Path())
    options = dict(config.view.options)
    words = str(options.pop("instruction", ""))  # its tokenizer may not be at hand
    options.pop("chat", None)
    plain = config.model_copy(update={"view": config.view.model_copy(update={"options": options})})
    add_items(made, sids, np.zeros((len(sids), text_width), np.float32), plain)
    if made.items is not None:
        made.items._trie = Trie.from_sids(sids, num_codes).to(device)  # which it would read back from the device
        if use == "search":
            made.items.requires_grad_(False)
    made.opening = np.zeros(1 + -(-len(words) // _LETTERS_A_TOKEN), dtype=np.int64)
    made.forward_dtype = made.search_dtype = compute
    return made
