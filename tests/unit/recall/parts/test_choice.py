"""A channel's own options are chosen on validation."""

import dataclasses
import importlib
from types import SimpleNamespace

import numpy as np
import pytest

from genrec.recall.parts.choice import choose
from genrec.recall.parts.scorer import Held, Training

# What NDCG@10 is made of here: with options (a, b) the target's rank is |a - 3| + |b - 2|.
HELD = Held([np.array([0])], np.array([1], dtype=np.int32))


@dataclasses.dataclass(frozen=True)
class Config:
    a: int = 0
    b: int = 0


class Fixed:
    num_items = 30

    def __init__(self, options):
        self.rank = abs(options.a - 3) + abs(options.b - 2)

    def scores(self, histories):
        scores = np.zeros((len(histories), 30), dtype=np.float32)
        scores[:, 1] = 1
        scores[:, 2 : 2 + self.rank] = 2
        return scores

    def with_options(self, options):
        return Fixed(options)


def channel(fits, **declared):
    def fit(data, options):
        fits.append((options.a, options.b))
        data.progress(1, 1)
        return Fixed(options)

    return SimpleNamespace(Config=Config, fit=fit, **declared)


DATA = Training([np.array([0, 1])], 30, validation=HELD)
CHOICES = {"a": (2, 3, 0, 4), "b": (0, 1, 2)}


def test_each_option_takes_its_best_value_in_turn():
    choice = choose(channel([], CHOICES=CHOICES), {}, DATA, 10)
    assert (choice.options, choice.scorer.rank, choice.users) == (Config(3, 2), 0, 1)
    tried = [(t["options"], t["ndcg@10"]) for t in choice.tried]
    ranks = [({}, 5), ({"a": 2}, 3), ({"a": 3}, 2), ({"a": 4}, 3), ({"a": 3, "b": 1}, 1), ({"a": 3, "b": 2}, 0)]
    assert len(tried) == len(ranks)  # none twice, the defaults neither
    assert tried == [(options, pytest.approx(1 / np.log2(rank + 2), abs=1e-6)) for options, rank in ranks]


def test_of_equals_the_one_tried_first_stays():
    assert choose(channel([], CHOICES={"a": (2, 4)}), {"b": 2}, DATA, 10).options == Config(2, 2)


def test_an_option_that_the_user_set_is_not_searched():
    fits = []
    assert choose(channel(fits, CHOICES=CHOICES), {"a": 0}, DATA, 10).options == Config(0, 2)
    assert {a for a, _ in fits} == {0}


def test_options_of_the_ranking_alone_need_no_other_fit():
    fits = []
    choice = choose(channel(fits, CHOICES=CHOICES, RANKING=("a",)), {}, DATA, 10)
    assert (choice.options, choice.scorer.rank) == (Config(3, 2), 0)
    assert fits == [(0, 0), (3, 1), (3, 2)]


@pytest.mark.parametrize("case", ["no validation rows", "no users", "no choices", "all set"])
def test_where_there_is_nothing_to_choose_the_defaults_are_fitted_once(case):
    fits = []
    module = channel(fits, **({} if case == "no choices" else {"CHOICES": CHOICES}))
    data = dataclasses.replace(DATA, validation=None) if case == "no validation rows" else DATA
    choice = choose(module, {"a": 1, "b": 1} if case == "all set" else {}, data, 0 if case == "no users" else 10)
    assert len(fits) == 1
    assert (choice.options, choice.tried, choice.users) == (Config(*fits[0]), [], 0)


def test_progress_is_that_of_all_fits():
    seen = []
    data = dataclasses.replace(DATA, progress=lambda done, total, note="", /, **values: seen.append(done / total))
    choose(channel([], CHOICES=CHOICES), {}, data, 10)
    assert seen == sorted(seen)
    assert 0 < seen[0] < seen[-1] <= 1


def test_of_many_users_a_sample_decides_and_all_are_learned_from(monkeypatch):
    monkeypatch.setattr("genrec.recall.parts.choice._MOST_USERS", 4)
    fitted = []

    def fit(data, options):
        fitted.append([int(sequence[0]) for sequence in data.sequences])
        assert [times[0] for times in data.timestamps] == fitted[-1]
        return Fixed(options)

    users = [np.array([n, 1]) for n in range(9)]
    data = dataclasses.replace(DATA, sequences=users, timestamps=users)
    choice = choose(SimpleNamespace(Config=Config, fit=fit, CHOICES=CHOICES), {}, data, 10)
    assert (choice.options, len(choice.tried), choice.users) == (Config(3, 2), 6, 1)
    *searched, last = fitted
    assert last == list(range(9))
    assert all(sample == searched[0] == sorted(set(sample)) and len(sample) == 4 for sample in searched)
    assert searched[0] != [0, 1, 2, 3]


def test_what_suits_a_large_catalogue_is_taken_unless_the_user_says_otherwise():
    fits = []
    module = channel(fits, CHOICES=CHOICES, suited=lambda num_items: {"a": 1} if num_items == 30 else {})
    assert choose(module, {}, DATA, 10).options == Config(1, 2)
    assert {a for a, _ in fits} == {1}
    assert choose(module, {"a": 4, "b": 2}, DATA, 10).options == Config(4, 2)


def test_a_channel_that_reads_no_events_is_fitted_once_for_any_number_of_users(monkeypatch):
    monkeypatch.setattr("genrec.recall.parts.choice._MOST_USERS", 1)
    many = dataclasses.replace(DATA, sequences=[np.array([0, 1])] * 3)
    for reads, fits_wanted in ((True, 2), (False, 1)):
        fits = []
        module = channel(fits, CHOICES={"b": (0, 2)}, RANKING=("b",), READS_EVENTS=reads)
        assert choose(module, {}, many, 10).options == Config(0, 2)
        assert len(fits) == fits_wanted


@pytest.mark.parametrize("name", ["content", "item2vec", "sasrec"])
def test_what_a_channel_gives_a_large_catalogue_are_valid_settings_and_none_of_a_small_one(name):
    module = importlib.import_module(f"genrec.recall.{name}")
    assert module.suited(50_000) == {}
    given = module.suited(50_001)
    assert given
    assert dataclasses.asdict(module.Config(**given)).items() >= given.items()
