"""The endpoint's engine on a model of the given shape, and the usual way beside it: `generate` of transformers with as many
beams and a function that gives the tokens which may follow.

Requests are histories of full length that ask for a list of 10; a search has 20 beams, and leaves out what a history
holds. `generate` gets the same prompts, on the same weights, with the catalogue as a dictionary from a prefix to its tokens.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from genrec.model.merging import merge_adapter
from genrec.model.policy import Policy
from genrec.model.precision import compile_layers
from genrec.search.kv_memory import bytes_a_position
from genrec.serve.catalogue import Catalogue
from genrec.serve.engine import Engine
from genrec.serve.query import Query
from tests.bench.gpu_check import measure
from tests.bench.gpu_check.models import NUM_CODES, NUM_LEVELS, Shape, random_catalogue, random_policy, random_prompts

BEAM_WIDTH, LIST_LENGTH = 20, 10
Report = Callable[[dict[str, Any]], None]


def run(shape: Shape, device: torch.device, report: Report) -> None:
    """Requests by batch, the bound on keys and values, an adapter merged and beside its weights, and the usual way."""
    sids = random_catalogue(shape)
    policy = random_policy(shape, device, torch.bfloat16, lora=True)
    policy.search_dtype = torch.bfloat16
    _random_adapter(policy)
    engine = _engine(policy, sids)
    apart = _lists(engine, shape)
    for number in (shape.serve_batches[0], shape.serve_batches[-1]):
        report(_case(f"{number} together, adapter beside", engine, number, device, shape))
    merge_adapter(policy)
    engine = _engine(policy, sids)
    report({"case": "lists, adapter merged and beside", **_agreement(_lists(engine, shape), apart)})
    for number in shape.serve_batches:
        report(_case(f"{number} together", engine, number, device, shape))
    report(_bounded(policy, sids, shape, device))
    alone = _queries(shape, 1)
    measure.profiled(shape, "1 together", lambda: engine.answer(alone), device, report)
    plain = _lists(engine, shape, shape.generate_batches[-1])
    engine = _as_served(policy, sids, report, device)
    found = _agreement(_lists(engine, shape, shape.generate_batches[-1]), plain)
    report({"case": "lists, recorded and plain", **found})
    for number in shape.serve_batches[:-1]:
        report(_case(f"{number} together, recorded", engine, number, device, shape))
    for number in shape.generate_batches:
        report(_beside(policy, engine, shape, number, device))
    if device.type == "cuda":
        del engine  # its recordings hold memory
        compile_layers(policy.body)
        engine = _engine(policy, sids, recorded=True)
        for number in reversed(shape.serve_batches):  # one alone takes compilations of its own: last
            report(_case(f"{number} together, compiled, recorded", engine, number, device, shape))


def _as_served(policy: Policy, sids: np.ndarray, report: Report, device: torch.device) -> Engine:
    """An engine after its warm-up: searches for few requests are recorded, and hold their memory."""
    engine = _engine(policy, sids, recorded=True)
    before = _held_gib(device)
    found = measure.measured(engine.warm_up, device, 1, warm_up=lambda: None)
    after = _held_gib(device)
    report({"case": "warm-up", **found, **({"held_gib": after - before} if after and before else {})})
    return engine


def _held_gib(device: torch.device) -> float | None:
    """What torch holds of a GPU, with the memory of recordings and without what it could give back."""
    if device.type != "cuda":
        return None
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved(device) / measure.GIB


def _random_adapter(policy: Policy) -> None:
    """What training leaves, in the type of the weights, as it is loaded to be served: a fresh adapter changes nothing."""
    torch.manual_seed(1)
    for name, parameter in policy.model.named_parameters():
        parameter.requires_grad_(False)
        if "lora_B" in name:
            parameter.normal_(std=0.02)
        parameter.data = parameter.data.bfloat16()


def _engine(policy: Policy, sids: np.ndarray, max_kv_gib: float = 2.0, recorded: bool = False) -> Engine:
    names = [f"i{item}" for item in range(len(sids))]
    counts = np.ones(len(sids), dtype=np.int64)
    catalogue = Catalogue(names, names, names, [[]] * len(sids), sids, NUM_CODES, counts)
    return Engine(policy, catalogue, "random", beam_width=BEAM_WIDTH, max_kv_gib=max_kv_gib, recorded=recorded)


def _queries(shape: Shape, number: int) -> list[Query]:
    return [Query([f"i{item}" for item in h], k=LIST_LENGTH) for h in random_prompts(shape, number).histories]


def _case(name: str, engine: Engine, number: int, device: torch.device, shape: Shape) -> dict[str, Any]:
    """Requests that arrive together: the time until all have their lists is the latency of each."""
    queries = _queries(shape, number)

    def case() -> dict[str, Any]:
        found = measure.measured(lambda: engine.answer(queries), device, 2 * shape.repeats + 1)
        return _rates(found, number)

    return {"case": name, **measure.or_out_of_memory(case)}


def _rates(found: dict[str, Any], number: int) -> dict[str, Any]:
    return {**found, "latency_ms": 1e3 * found["seconds"], "requests_per_s": number / found["seconds"]}


def _lists(engine: Engine, shape: Shape, number: int | None = None) -> list[list[str]]:
    queries = _queries(shape, number or shape.serve_batches[-1])
    return [[item.item_id for item in answer.items] for answer in engine.answer(queries)]


def _agreement(found: list[list[str]], wanted: list[list[str]]) -> dict[str, Any]:
    """The share of places of the lists with the same item, and of items that are in both."""
    places = [a == b for x, y in zip(found, wanted, strict=True) for a, b in zip(x, y, strict=True)]
    shared = [len(set(x) & set(y)) / max(1, len(y)) for x, y in zip(found, wanted, strict=True)]
    # Random weights score many items alike, and bf16 rounds them: an adapter that is merged moves a tenth of the items.
    return {
        "passed": float(np.mean(shared)) > 0.8, "same_items": float(np.mean(places)), "shared_items": float(np.mean(shared))
    }  # fmt: skip


def _bounded(policy: Policy, sids: np.ndarray, shape: Shape, device: torch.device) -> dict[str, Any]:
    """The largest batch under a bound that a quarter of its keys and values fit: the same lists, in four searches."""
    number = shape.serve_batches[-1]
    positions = number * (len(policy.opening) + NUM_LEVELS * shape.history + (NUM_LEVELS - 1) * BEAM_WIDTH)
    kv_gib = positions * bytes_a_position(policy) / measure.GIB
    whole, part = _engine(policy, sids), _engine(policy, sids, kv_gib / 4)
    before = torch.cuda.memory_allocated(device) / measure.GIB if device.type == "cuda" else None
    found = _case(f"{number} together, a quarter of the memory", part, number, device, shape)
    found |= _agreement(_lists(part, shape), _lists(whole, shape))
    found |= {"kv_gib": kv_gib / 4}
    if before is not None and "peak_gib" in found:
        found["search_gib"] = found["peak_gib"] - before
    return found


def _beside(policy: Policy, engine: Engine, shape: Shape, number: int, device: torch.device) -> dict[str, Any]:
    """The same prompts by `generate` and by the engine, in turn."""
    queries, histories = _queries(shape, number), random_prompts(shape, number).histories
    generate = _generate(policy, histories, engine.catalogue.sids)

    def case() -> dict[str, Any]:
        found = measure.measured(generate, device, shape.repeats)
        ours = measure.measured(lambda: engine.answer(queries), device, shape.repeats)
        ratio = found["seconds"] / ours["seconds"]
        return {**_rates(found, number), "ours_ms": 1e3 * ours["seconds"], "ratio": ratio}

    return {"case": f"{number} together, generate", **measure.or_out_of_memory(case)}


def _generate(policy: Policy, histories: list[np.ndarray], sids: np.ndarray) -> Callable[[], Any]:
    """Beam search by transformers under the ids of the catalogue."""
    allowed: dict[tuple[int, ...], list[int]] = {}
    for row in policy.vocab.token_ids(sids).tolist():
        for level in range(NUM_LEVELS):
            following = allowed.setdefault(tuple(row[:level]), [])
            if row[level] not in following:
                following.append(row[level])
    prompts = policy.prompts(histories, sids)
    width = prompts.input_ids.shape[1]

    def generate() -> torch.Tensor:
        with torch.no_grad():
            return policy.causal_model.generate(
                input_ids=prompts.input_ids,
                attention_mask=prompts.attention_mask,
                num_beams=BEAM_WIDTH,
                num_return_sequences=LIST_LENGTH,
                min_new_tokens=NUM_LEVELS,
                max_new_tokens=NUM_LEVELS,
                do_sample=False,
                length_penalty=0.0,
                prefix_allowed_tokens_fn=lambda _, ids: allowed[tuple(ids[width:].tolist())],
            )

    return generate
