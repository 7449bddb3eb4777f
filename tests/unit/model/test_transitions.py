"""The table of transitions: counted, mixed in, and without what came next."""

import numpy as np
import pytest
import torch

from genrec.model.transitions import Transitions

NUM_ITEMS = 40
SEQUENCES = [[0, 1, 2], [0, 1, 3, 1], [5, 5, 0]]


def transitions(window: int = 2, history_decay: float = 0.5) -> Transitions:
    offsets = np.cumsum([0, *map(len, SEQUENCES)])
    return Transitions.count(np.concatenate(SEQUENCES), offsets, NUM_ITEMS, window=window, history_decay=history_decay)


def test_transitions_count_one_over_their_distance():
    table = transitions()
    found = {
        (source, int(table.targets[edge])): float(table.weights[edge])
        for source in range(NUM_ITEMS)
        for edge in range(table.starts[source], table.starts[source + 1])
    }
    # 0 1 2: 0>1, 1>2 and, two apart, 0>2; 0 1 3 1: 0>1, 1>3, 3>1, 0>3 (1>1 is none); 5 5 0: 5>0 next and two apart
    assert found == {(0, 1): 2, (0, 2): 0.5, (0, 3): 0.5, (1, 2): 1, (1, 3): 1, (3, 1): 1, (5, 0): 1.5}


def test_transitions_are_mixed_in_as_probabilities_and_where_there_are_none_nothing_changes():
    before = torch.randn(3, NUM_ITEMS).log_softmax(-1)
    histories = torch.tensor([[1, 0], [7, -1], [-1, -1]])  # newest first
    mixed = transitions().mix(before, histories, 0.3)
    torch.testing.assert_close(mixed.exp().sum(1), torch.ones(3))
    torch.testing.assert_close(mixed[1:], before[1:])
    table = torch.zeros(NUM_ITEMS)
    table[1] = 0.5 * 2
    table[2] = 1 + 0.5 * 0.5
    table[3] = 1 + 0.5 * 0.5
    torch.testing.assert_close(mixed[0].exp(), 0.7 * before[0].exp() + 0.3 * table / table.sum())


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
@pytest.mark.parametrize("first", [[0, 1, 2, 6, 7], [0, 1, 0, 2, 2, 1, 0], [2, 2, 1, 2, 1, 2]])
def test_what_came_next_is_taken_out_as_if_it_had_not_been_counted(first, cut):
    sequences = [first, [4, 1, 2, 0], [3, 2, 6, 1], [1, 0, 6]]
    whole, short = (np.array(rows[0]) for rows in (sequences, [sequences[0][:cut]]))

    def table(first):
        rows = [list(first), *sequences[1:]]
        offsets = np.cumsum([0, *map(len, rows)])
        return Transitions.count(np.concatenate(rows), offsets, NUM_ITEMS, window=3, history_decay=0.6)

    before = torch.randn(1, NUM_ITEMS).log_softmax(-1)
    history = torch.from_numpy(short[::-1].copy())[None]
    following = torch.from_numpy(np.append(whole[cut:], [-1]))[None]
    mixed = table(whole).mix(before, history, 0.5, following)
    torch.testing.assert_close(mixed, table(short).mix(before, history, 0.5), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(mixed, table(whole).mix(before, history, 0.5), atol=1e-2)


def test_a_table_that_knew_nothing_but_the_answer_is_left_with_nothing():
    offsets = np.array([0, 3])
    table = Transitions.count(np.array([0, 1, 2]), offsets, NUM_ITEMS, window=5, history_decay=0.6)
    before = torch.randn(1, NUM_ITEMS).log_softmax(-1)
    mixed = table.mix(before, torch.tensor([[0, -1]]), 0.5, torch.tensor([[1, 2, -1]]))
    torch.testing.assert_close(mixed, before)


def test_only_the_strongest_transitions_are_kept(monkeypatch):
    monkeypatch.setattr("genrec.model.transitions.MAX_TARGETS", 1)
    table = transitions()
    assert table.starts.diff()[:6].tolist() == [1, 1, 0, 1, 0, 1]
    assert table.targets[0] == 1
