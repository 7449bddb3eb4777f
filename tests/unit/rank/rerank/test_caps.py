"""Caps hold whenever they can, with the items that stood first; where they cannot, the list is filled and counted."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.rank.rerank import caps
from genrec.rank.rerank.parts.lists import ItemFacts, Lists


def made_of(categories, brands) -> Lists:
    number = len(categories)
    facts = ItemFacts(np.array(categories, dtype=np.int64), np.array(brands, dtype=np.int64))
    score = -np.arange(number, dtype=np.float32)[None]
    return Lists(np.arange(number)[None], score, {}, facts)


def rerank(made, k, **options):
    result = caps.Caps(caps.Config(**options)).rerank(made, k)
    return result.order[0].tolist(), result.warnings


def test_the_first_allowed_items_are_taken_and_the_others_follow():
    order, warnings = rerank(made_of([0, 0, 0, 1, -1], [0] * 5), 3, category=1)
    assert order == [0, 3, 4, 1, 2]
    assert not warnings


def test_an_item_that_uses_up_a_category_and_a_brand_gives_way_to_two():
    order, warnings = rerank(made_of([0, 0, 1], [0, 1, 0]), 2, category=1, brand=1)
    assert sorted(order[:2]) == [1, 2]
    assert not warnings


def test_caps_that_cannot_hold_are_counted_and_the_list_is_filled():
    order, warnings = rerank(made_of([0, 0, 0, 1], [0] * 4), 4, category=2)
    assert order == [0, 1, 3, 2]
    assert warnings == {"caps cannot hold": 1}


@settings(max_examples=60, deadline=None)
@given(
    codes=st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 3)), min_size=1, max_size=8),
    category=st.integers(1, 3),
    brand=st.integers(1, 3),
    k=st.integers(1, 8),
)
def test_caps_hold_whenever_some_choice_holds_them(codes, category, brand, k):
    categories, brands = (list(side) for side in zip(*codes, strict=True))
    order, warnings = rerank(made_of(categories, brands), k, category=category, brand=brand)
    wanted = min(k, len(codes))

    def holds(chosen):
        return all(
            max(np.bincount([side[i] + 1 for i in chosen], minlength=5)[1:]) <= cap
            for side, cap in ((categories, category), (brands, brand))
        )

    possible = any(holds(chosen) for chosen in itertools.combinations(range(len(codes)), wanted))
    assert holds(order[:wanted]) == possible
    assert bool(warnings) == (not possible)


def test_repeats_of_a_category_stand_apart_where_the_items_allow_it():
    order, warnings = rerank(made_of([0, 0, 0, 1, 2], [0] * 5), 5, category=0, spread=1)
    assert order == [0, 3, 1, 4, 2]
    assert not warnings
    order, warnings = rerank(made_of([0, 0, 0, 1], [0] * 4), 4, category=0, spread=1)
    assert order == [0, 3, 1, 2]
    assert warnings == {"repeats stand closer": 1}
