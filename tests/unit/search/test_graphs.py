import numpy as np
import torch

from genrec.search.decode import beam_search
from genrec.search.graphs import SearchGraphs
from genrec.search.trie import Trie
from tests.support.lm_tiny import NUM_CODES, random_histories, random_sids, tiny_policy

NUM_ITEMS, WIDTH = 60, 5
SIDS = random_sids(NUM_ITEMS, seed=3)
TRIE = Trie.from_sids(SIDS, NUM_CODES)


class _Recorder:
    """In the place of a CUDA graph: a search over inputs of its own, counted."""

    def __init__(self):
        self.replays = []

    def __call__(self, search, inputs):
        own = tuple(t.clone() for t in inputs)
        self.replays.append(0)
        place = len(self.replays) - 1

        def replay(given):
            for kept, new in zip(own, given, strict=True):
                assert kept.shape == new.shape
                kept.copy_(new)
            self.replays[place] += 1
            return search(own)

        return replay


def _same(graphs, policy, lengths, seed):
    histories = random_histories(lengths, NUM_ITEMS, seed)
    prompts = policy.prompts(histories, SIDS)
    found, wanted = graphs(prompts, histories), beam_search(policy, prompts, TRIE, WIDTH, histories)
    np.testing.assert_array_equal(found.items, wanted.items)
    torch.testing.assert_close(found.scores, wanted.scores)


def test_a_shape_that_comes_again_is_recorded_and_reads_new_prompts_and_weights_changed_in_place():
    policy, recorder = tiny_policy(0, mode="lora"), _Recorder()
    parameters = policy.trainable_parameters()
    graphs = SearchGraphs(policy, TRIE, WIDTH, parameters.values, record=recorder)
    for seed in range(4):
        _same(graphs, policy, [3, 1, 2], seed)
        with torch.no_grad():
            for parameter in parameters.values():
                parameter.add_(0.01)
    assert recorder.replays == [2]
    _same(graphs, policy, [3, 1], 5)  # another shape
    assert recorder.replays == [2]


def test_other_weights_in_place_of_the_parameters_have_a_recording_of_their_own():
    policy, recorder = tiny_policy(0), _Recorder()
    parameters = policy.trainable_parameters()
    graphs = SearchGraphs(policy, TRIE, WIDTH, parameters.values, record=recorder)
    for seed in range(3):
        _same(graphs, policy, [2, 2], seed)
    before = {name: p.data for name, p in parameters.items()}
    for parameter in parameters.values():
        parameter.data = parameter.data * 1.5
    for seed in range(3):
        _same(graphs, policy, [2, 2], seed)
    assert recorder.replays == [1, 1]
    for name, parameter in parameters.items():
        parameter.data = before[name]
    _same(graphs, policy, [2, 2], 9)
    assert recorder.replays == [2, 1]


def test_where_nothing_can_be_recorded_searches_go_on_as_they_are(caplog):
    def record(search, inputs):
        raise RuntimeError("operation not permitted when stream is capturing")

    policy = tiny_policy(0)
    graphs = SearchGraphs(policy, TRIE, WIDTH, policy.trainable_parameters().values, record=record)
    for seed in range(4):
        _same(graphs, policy, [3, 1], seed)
    assert "not permitted" in caplog.text
    assert graphs.num_recorded == 0
    assert not graphs.enabled
