import numpy as np
import pytest

from genrec.train.sft.samplers import hard_examples, tail


@pytest.mark.parametrize("share", [0.2, 0.19])
def test_the_tail_is_the_least_popular_items_within_a_share_of_the_events(share):
    counts = np.array([50, 5, 30, 5, 10])  # the two with 5 events hold 10% of 100, with the one of 10 it is 20%
    is_tail = np.array([False, True, False, True, share == 0.2])
    weights = tail.target_weights(counts, tail.Config(factor=1.5, mode="weight", tail_share=share))
    np.testing.assert_array_equal(weights, np.where(is_tail, 1.5, 1).astype(np.float32))
    again, times = tail.drawn_again(counts, tail.Config(factor=1.5, tail_share=share))
    np.testing.assert_array_equal(again, is_tail)
    assert times == 0.5


def test_what_is_even_has_no_tail():
    counts = np.full(10, 3)
    np.testing.assert_array_equal(tail.target_weights(counts, tail.Config(mode="weight")), np.ones(10, np.float32))
    assert not tail.drawn_again(counts, tail.Config())[0].any()


def test_a_tail_target_is_either_drawn_more_often_or_weighs_more():
    counts = np.array([50, 5])
    assert (tail.target_weights(counts, tail.Config(factor=3.0)) == 1).all()
    assert tail.drawn_again(counts, tail.Config(factor=3.0))[1] == 2
    assert tail.drawn_again(counts, tail.Config(factor=3.0, mode="weight"))[1] == 0


def test_the_thirty_percent_with_the_highest_loss_come_again():
    losses = np.array([0.1, 9.0, 0.2, 5.0, 0.3, 7.0, 0.4, 0.5, 0.6, 0.7], np.float32)
    assert hard_examples.second_pass(losses, hard_examples.Config()).tolist() == [1, 3, 5]
    assert hard_examples.num_extra(10, hard_examples.Config()) == 3
    assert hard_examples.num_extra(1, hard_examples.Config()) == 1
