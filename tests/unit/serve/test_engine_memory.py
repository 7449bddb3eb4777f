"""Requests that come together: searched in batches that hold no more keys and values than they may, with the same lists."""

from types import SimpleNamespace

import pytest
import torch

from genrec.errors import ConfigError
from genrec.serve.engine import GIB, Engine
from genrec.serve.query import Query
from genrec.serve.recorded import SIZES
from tests.support import serve_tiny
from tests.support.kv_held import kv_held
from tests.support.lm_tiny import tiny_policy
from tests.support.serve_tiny import NUM_ITEMS

IDS = serve_tiny.engine().catalogue.item_ids
QUERIES = [Query(IDS[n : n + 1 + n % 7], k=5) for n in range(20)]


def _engine(policy, held_bytes: float) -> Engine:
    return Engine(policy, serve_tiny.catalogue(), "tiny", beam_width=6, max_kv_gib=held_bytes / GIB)


@pytest.mark.parametrize("mode", ["full", "lora"], ids=["fused", "stock layers"])
def test_a_bound_splits_a_batch_and_changes_no_list(mode):
    policy = tiny_policy(3, mode=mode)
    with kv_held() as held:
        whole = _engine(policy, GIB).answer(QUERIES)
    bound = sum(held) / 4
    with kv_held() as parts:
        answers = _engine(policy, bound).answer(QUERIES)
    assert len(held) == 1
    assert len(parts) >= 4
    assert max(parts) <= bound
    for answer, wanted in zip(answers, whole, strict=True):
        assert [item.item_id for item in answer.items] == [item.item_id for item in wanted.items]
        assert [item.score for item in answer.items] == pytest.approx([item.score for item in wanted.items], abs=1e-5)


def test_the_bound_stays_when_the_catalogue_changes():
    engine = _engine(tiny_policy(3), 40_000)
    changed = engine.with_catalogue(engine.catalogue.with_stock({IDS[0]: False}))
    with kv_held() as parts:
        changed.answer(QUERIES)
    assert len(parts) > 1
    assert max(parts) <= 40_000


def test_a_bound_that_one_request_does_not_fit_is_refused_by_name():
    policy = tiny_policy(3)
    _engine(policy, 40_000).check_room(6)
    with pytest.raises(ConfigError, match=r"api\.max_kv_gib is .*one search for 30 items take .* GiB .*api\.max_k"):
        _engine(policy, 8_000).check_room(NUM_ITEMS)


def test_a_warm_up_searches_one_and_a_few_of_the_longest_histories():
    policy = tiny_policy(3)
    with kv_held() as held:
        _engine(policy, GIB).warm_up()
    longest = Query(IDS[: policy.max_history], k=6)
    with kv_held() as wanted:
        for size in (1, 8):
            _engine(policy, GIB).answer([longest] * size)
    assert held == wanted


def test_on_a_gpu_a_full_batch_is_tried_and_its_lack_of_memory_told():
    engine = Engine(tiny_policy(3), serve_tiny.catalogue(), "tiny", batch_size=64)
    engine.policy, sizes = SimpleNamespace(device=torch.device("cuda")), []

    def answer(queries):
        sizes.append(len(queries))
        if len(queries) == 64:
            raise torch.OutOfMemoryError("tried to allocate 3 GiB")

    engine.answer = answer
    with pytest.raises(ConfigError, match=r"cuda: too little memory to search 64 requests.*3 GiB.*api\.max_batch"):
        engine.warm_up()
    assert sizes == [size for size in SIZES for _ in range(3)] + [64]
