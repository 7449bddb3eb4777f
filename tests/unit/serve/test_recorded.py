"""Searches that are recorded: the lists of the plain search, by few recordings for requests of any length and number."""

import numpy as np
import pytest
import torch

from genrec.search.graphs import SearchGraphs
from genrec.serve import recorded
from genrec.serve.engine import GIB, Engine
from genrec.serve.query import Filter, Query
from genrec.serve.recorded import SIZES, RecordedSearch
from tests.support import serve_tiny
from tests.support.lm_tiny import tiny_policy

IDS = serve_tiny.engine().catalogue.item_ids


class Recorder:
    """In the place of a CUDA graph: a search over inputs of its own, counted."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.replays = 0

    def __call__(self, search, inputs):
        own = tuple(t.clone() for t in inputs)
        self.sizes.append(len(own[0]))

        def replay(given):
            for kept, new in zip(own, given, strict=True):
                assert kept.shape == new.shape
                kept.copy_(new)
            self.replays += 1
            return search(own)

        return replay


def recording_engine(policy, recorder: Recorder, held_gib: float = 2.0) -> Engine:
    """An engine on the CPU that records as on a GPU."""
    engine = Engine(policy, serve_tiny.catalogue(), "tiny", beam_width=6, max_kv_gib=held_gib)
    longest = int(engine._prompt_positions[-1])
    search = RecordedSearch(policy, engine._trie, engine.scores, 6, longest, engine._most_positions)
    search._graphs = SearchGraphs(policy, engine._trie, 6, lambda: (), record=recorder, scores=engine.scores)
    engine._search = search
    return engine


def queries(number: int, seed: int) -> list[Query]:
    rng = np.random.default_rng(seed)
    return [Query([IDS[i] for i in rng.integers(0, len(IDS), rng.integers(1, 8))], k=4) for _ in range(number)]


def prefix_policy():
    """The output of prefixes, which snapshots of its weights are worth something for; no dense head."""
    policy = serve_tiny.whole_policy(3)
    policy.use_items(policy.items, "sid_tokens", {}, None, {"name": "prefixes", "options": {}})
    return policy


@pytest.mark.parametrize("policy", [tiny_policy(3), tiny_policy(3, mode="lora"), prefix_policy()])
def test_lists_are_those_of_the_plain_search_whatever_the_number_and_length(policy):
    recorder = Recorder()
    engine, plain = recording_engine(policy, recorder), Engine(policy, serve_tiny.catalogue(), "tiny", beam_width=6)
    for seed, number in enumerate([1, 3, 1, 4, 3, 1, 2, 40, 1]):
        asked = queries(number, seed)
        for found, wanted in zip(engine.answer(asked), plain.answer(asked), strict=True):
            assert [item.item_id for item in found.items] == [item.item_id for item in wanted.items]
            scores = [item.score for item in found.items]
            assert scores == pytest.approx([item.score for item in wanted.items], abs=1e-5)
    assert recorder.sizes == [1, 4]
    assert recorder.replays == 3  # of one request the third and the fourth time, of four the third


def test_what_is_restricted_to_some_items_or_asks_for_long_lists_is_searched_as_it_is():
    recorder = Recorder()
    engine = recording_engine(tiny_policy(3), recorder)
    for _ in range(4):
        answer = engine.answer([Query(["i3"], k=3, allow=Filter(categories={"office"}))])[0]
        assert len(engine.answer([Query(["i3"], k=20)])[0].items) == 20
    assert len(answer.items) == 3
    assert recorder.sizes == []


def test_padding_takes_no_more_memory_than_a_search_may():
    policy, recorder = tiny_policy(3), Recorder()
    engine = recording_engine(policy, recorder)
    positions = engine._prompt_positions[-1] + 2 * 6
    tight = recording_engine(policy, recorder, 3.5 * positions * engine._kv_bytes / GIB)
    for seed in range(3):
        tight.answer(queries(3, seed))  # four with the padding
    assert recorder.sizes == []
    for seed in range(3):
        tight.answer(queries(2, seed))
    assert recorder.sizes == [2]


def test_a_warm_up_on_a_gpu_leaves_a_recording_of_every_size(monkeypatch):
    policy, recorder = tiny_policy(3), Recorder()
    engine = recording_engine(policy, recorder)
    monkeypatch.setattr(type(policy), "device", property(lambda self: torch.device("cuda")))
    monkeypatch.setattr("genrec.search.layout.on_device", _on_cpu)
    engine.warm_up()
    assert recorder.sizes == list(SIZES)
    before = recorder.replays
    engine.answer(queries(5, 1))
    assert recorder.replays == before + 1
    assert recorded.SIZES[-1] <= engine.batch_size


def _on_cpu(device, ids, mask, histories, following):
    from genrec.search.layout import PromptBatch

    first, second, third = (torch.from_numpy(array) for array in (ids, mask, histories))
    return PromptBatch(first, second, third, None, padded_left=True)
