"""Ways to attend under the masks of the sibling layout, side by side: time, memory and distance from float32.

`repeated` is transformers' sdpa, which copies keys and values for every query head; `packed` is what a GPU uses
(`genrec.search.attention`); `grouped` leaves the sharing of heads to the kernel; `flex` is FlexAttention with a block mask.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from genrec.search.attention import NAME, attend, layer_mask
from tests.bench.gpu_check import measure
from tests.bench.gpu_check.models import Shape, random_model

BOUND = 3e-2  # bfloat16
GROUP, LEVELS = 16, 3
Report = Callable[[dict[str, Any]], None]
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class Layout(NamedTuple):
    """One kind of forward: B rows, T query positions, S positions that they may see by `sees`, bool[B, T, S]."""

    name: str
    sees: torch.Tensor
    trained: bool  # a backward pass, too
    flex: bool  # FlexAttention, too, which compiles for a quarter of a minute


def run(shape: Shape, device: torch.device, report: Report) -> None:
    """All layouts by all ways; a way that raises is told, and the next goes on."""
    body = random_model(Shape(64, shape.hidden_size, 16, 1, shape.num_heads, shape.num_kv_heads), device, torch.float32)
    body = body.base_model.to(torch.bfloat16 if device.type == "cuda" else torch.float32)
    for layout in _layouts(shape, device):
        wanted: list[torch.Tensor] = []
        for name, build in WAYS.items():
            if name == "flex" and not layout.flex:
                continue
            try:
                found = _case(body, layout, build, wanted)
            except Exception as error:  # what one way cannot do must not hide what the others do
                found = {"passed": None, "failed": f"{type(error).__name__}: {error}"[:200]}
            report({"case": f"{layout.name}: {name}", **found})


def _layouts(shape: Shape, device: torch.device) -> list[Layout]:
    """Prompts of a search and the first siblings after them, and candidates of training; some prompts are shorter."""
    batch, prompts = shape.search_batches[-1], shape.prompts_per_step
    short, long = (2 + 3 * items for items in (shape.history, shape.long_history))
    return [
        Layout(f"read {batch} x {short}", _prompts(batch, short, device), False, False),
        Layout(f"append 20 to {batch} x {short}", _siblings(batch, short, 20, 1, device), False, True),
        Layout(f"train {prompts} x {short} + 32", _whole(prompts, short, device), True, True),
        Layout(f"train {prompts} x {long} + 32", _whole(prompts, long, device), True, False),
    ]


def _real(batch: int, width: int, device: torch.device) -> torch.Tensor:
    """bool[B, P], padded on the left by 0, 3 or 6."""
    padding = 3 * (torch.arange(batch, device=device) % 3)
    return torch.arange(width, device=device) >= padding[:, None]


def _prompts(batch: int, width: int, device: torch.device) -> torch.Tensor:
    causal = torch.ones(width, width, dtype=torch.bool, device=device).tril()
    itself = torch.eye(width, dtype=torch.bool, device=device)
    return (causal & _real(batch, width, device)[:, None]) | itself


def _siblings(batch: int, width: int, group: int, depth: int, device: torch.device) -> torch.Tensor:
    """bool[B, depth * G, P + depth * G]: the prompt and a branch of one's own."""
    place = torch.arange(depth * group, device=device)
    branch = (place[:, None] % group == place % group) & (place[:, None] >= place)
    prompt = _real(batch, width, device)[:, None].expand(-1, len(place), -1)
    return torch.cat([prompt, branch.expand(batch, -1, -1)], dim=2)


def _whole(batch: int, width: int, device: torch.device) -> torch.Tensor:
    """bool[B, T, T] of prompts and candidates in one forward."""
    later = GROUP * (LEVELS - 1)
    prompts = functional.pad(_prompts(batch, width, device), (0, later))
    return torch.cat([prompts, _siblings(batch, width, GROUP, LEVELS - 1, device)], dim=1)


def _repeated(body: Any, sees: torch.Tensor) -> Attend:
    module = body.layers[0].self_attn
    return lambda q, k, v: sdpa_attention_forward(module, q, k, v, sees[:, None])[0]


def _packed(body: Any, sees: torch.Tensor) -> Attend:
    body.set_attn_implementation(NAME)
    module, mask = body.layers[0].self_attn, layer_mask(body, sees[:, None], body.dtype)
    return lambda q, k, v: attend(module, q, k, v, mask)[0]


def _packed_efficient(body: Any, sees: torch.Tensor) -> Attend:
    packed = _packed(body, sees)

    def run(*inputs: torch.Tensor) -> torch.Tensor:
        with sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]):
            return packed(*inputs)

    return run


def _grouped(body: Any, sees: torch.Tensor) -> Attend:
    mask = torch.zeros(sees.shape, dtype=body.dtype, device=sees.device).masked_fill_(~sees, -torch.inf)[:, None]
    return lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True).transpose(
        1, 2
    )


def _flex(body: Any, sees: torch.Tensor) -> Attend:
    num_rows, width, length = sees.shape
    blocks = create_block_mask(lambda b, h, q, k: sees[b, q, k], num_rows, None, width, length, device=str(sees.device))
    call: Any = torch.compile(flex_attention, dynamic=False) if sees.is_cuda else flex_attention
    kernels = {"BLOCK_M": 64, "BLOCK_N": 64, "BLOCK_M1": 32, "BLOCK_N1": 64, "BLOCK_M2": 64, "BLOCK_N2": 32}
    options = {"block_mask": blocks, "enable_gqa": True, "kernel_options": kernels if sees.is_cuda else None}
    return lambda q, k, v: call(q, k, v, **options).transpose(1, 2)


WAYS: dict[str, Callable[[Any, torch.Tensor], Attend]] = {
    "repeated": _repeated,
    "packed": _packed,
    "packed, efficient": _packed_efficient,
    "grouped": _grouped,
    "flex": _flex,
}


def _case(body: Any, layout: Layout, build: Callable[[Any, torch.Tensor], Attend], wanted: list) -> dict[str, Any]:
    """Time of a forward, and of a backward where it is trained; `wanted` gets the float32 results of the first way."""
    config, device = body.config, layout.sees.device
    num_rows, width, length = layout.sees.shape
    size = config.hidden_size // config.num_attention_heads
    generator = torch.Generator(device).manual_seed(0)

    def random(heads: int, positions: int) -> torch.Tensor:
        values = torch.randn(num_rows, positions, heads, size, generator=generator, device=device)
        return values.to(body.dtype).transpose(1, 2).requires_grad_(layout.trained and device.type == "cuda")

    query, (key, value) = (
        random(config.num_attention_heads, width),
        (random(config.num_key_value_heads, length) for _ in range(2)),
    )
    slope = torch.randn(num_rows, width, config.num_attention_heads, size, generator=generator, device=device)
    inputs = (query, key, value)
    way = build(body, layout.sees)

    def call() -> list[torch.Tensor]:
        found = way(*inputs)
        return [found, *(torch.autograd.grad(found, inputs, slope.to(found.dtype)) if query.requires_grad else ())]

    if not wanted:
        exact = [t.detach().float().requires_grad_(query.requires_grad) for t in inputs]
        with sdpa_kernel([SDPBackend.MATH]):
            found = _repeated(body, layout.sees)(*exact)
        wanted += [found, *(torch.autograd.grad(found, exact, slope) if query.requires_grad else ())]
    error = max(float((a.float() - b).norm() / b.norm()) for a, b in zip(call(), wanted, strict=True))
    repeats = 20 if device.type == "cuda" else 1
    found = measure.measured(call, device, repeats)
    return {"passed": error < BOUND, "error": error, "call_ms": 1e3 * found["seconds"], **found}
