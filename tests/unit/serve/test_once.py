"""What is made once of a catalogue's items: when it is made again, and when it is forgotten."""

import gc
from concurrent.futures import ThreadPoolExecutor

from genrec.serve.once import OncePerItems
from tests.support.scored_tiny import tiny_catalogue


def test_snapshots_that_differ_in_their_stock_share_what_was_made():
    made = []
    once = OncePerItems(lambda catalogue: made.append(len(catalogue)) or len(made))
    catalogue = tiny_catalogue()
    assert once.of(catalogue) == once.of(catalogue.with_stock({"i3": False})) == 1
    assert once.of(tiny_catalogue()) == 2
    assert once.of(catalogue) == 1


def test_threads_that_ask_while_it_is_made_wait_for_it():
    made = []
    once = OncePerItems(lambda catalogue: made.append(1) or len(made))
    catalogue = tiny_catalogue()
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda _: once.of(catalogue), range(32))) == {1}
    assert made == [1]


def test_what_was_made_of_a_catalogue_that_is_gone_is_forgotten():
    once = OncePerItems(len)
    for num_items in (10, 20):  # the second may have the place in memory of the first
        catalogue = tiny_catalogue(num_items)
        assert once.of(catalogue) == num_items
        del catalogue
        gc.collect()
    assert once._made == {}
