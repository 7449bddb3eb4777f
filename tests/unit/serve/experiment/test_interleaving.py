"""Team-draft interleaving."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from genrec.serve.experiment import interleave

RANKINGS = st.lists(st.integers(0, 15), unique=True, max_size=12)


@given(RANKINGS, RANKINGS, st.integers(), st.none() | st.integers(0, 15))
def test_every_beginning_is_fair_and_no_item_repeats(control, candidate, seed, k):
    items, teams = interleave(control, candidate, seed, k)
    assert len(items) == len(teams) == len(set(items))
    wanted = max(len(control), len(candidate)) if k is None else k
    assert len(items) == min(wanted, len({*control, *candidate}))
    for length in range(len(items) + 1):
        counts = Counter(teams[:length])
        assert abs(counts["control"] - counts["candidate"]) <= 1
    rankings = {"control": control, "candidate": candidate}
    for place, (item, team) in enumerate(zip(items, teams, strict=True)):
        if team is not None:  # each pick is the best that its ranking had left
            assert item == next(i for i in rankings[team] if i not in items[:place])


@given(RANKINGS, RANKINGS, st.text(max_size=8))
def test_the_same_seed_gives_the_same_list(control, candidate, seed):
    assert interleave(control, candidate, seed) == interleave(control, candidate, seed)


def test_equal_rankings_are_shown_as_they_are_and_credit_is_even():
    ranking = list("abcdef")
    first = Counter()
    credit = Counter()
    for seed in range(2000):
        items, teams = interleave(ranking, ranking, seed)
        assert items == ranking
        first[teams[0]] += 1
        credit[teams[1]] += 1  # a user who always clicks the second item
    assert abs(first["control"] - 1000) < 5 * 2000**0.5 / 2
    assert abs(credit["control"] - 1000) < 5 * 2000**0.5 / 2


def test_known_lists():
    lists = {tuple(interleave("ab", "bc", seed)[0]): interleave("ab", "bc", seed)[1] for seed in range(50)}
    assert lists == {("a", "b"): ["control", "candidate"], ("b", "a"): ["candidate", "control"]}


def test_what_fills_the_list_up_is_of_no_team():
    assert interleave("", "abc", 0) == (["a", "b", "c"], [None, None, None])
    items, teams = interleave("a", "bcd", 1)
    assert sorted(items[:2]) == ["a", "b"]
    assert (items[2:], teams[2:]) == (["c"], [None])
    assert interleave("", "", 0) == ([], [])
