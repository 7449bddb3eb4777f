"""Retrieval: from queries to candidates with features, and as an artifact."""

import dataclasses

import numpy as np
import pytest

from genrec import variants
from genrec.errors import DataError
from genrec.rank.retrieval import Retrieval
from genrec.recall.parts.generator import Generator
from tests.support.features_tiny import NUM_ITEMS, queries, tables, training
from tests.support.lm_tiny import random_sids
from tests.support.scored_tiny import scored_policy

NEW = NUM_ITEMS  # an item that came after the channels were fitted
SIDS = random_sids(NUM_ITEMS, 3)
ASKED = queries([0, 1, 3], [5], [], [NEW, 2], [NEW])
COUNTS = {"generator": 3, "itemcf": 3, "transitions": 2}


@pytest.fixture(scope="module")
def generator():
    return Generator(scored_policy(SIDS, 0.7, 0.4), SIDS)


def retrieval(**other):
    channels = {}
    for name in ("itemcf", "transitions", "als"):
        module = variants.load("genrec.recall", name)
        channels[name] = module.fit(training(), module.Config())
    return Retrieval(tables(), channels, COUNTS, **{"limit": 5, **other})


def test_every_query_gets_candidates_and_features_whatever_is_known_of_it(generator):
    found = retrieval()(ASKED, generator, banned=ASKED.histories)
    frame = found.features()
    assert (np.diff(found.candidates.starts) > 0).all()
    assert found.candidates.channels == ("generator", "itemcf", "transitions")  # als is not asked
    assert not any(name.startswith("als_") for name in frame.columns)
    assert found.num_without == 2  # the new user, and the one of whom a new item alone is known
    popular = found.candidates.item[found.candidates.query == 2].tolist()
    assert popular == [0, 1, 2, 5, 3]
    assert frame.filter(found.candidates.query == 2)["num_channels"].to_list() == [0] * 5
    for query, history in enumerate(ASKED.histories):
        assert not set(history) & set(found.candidates.item[found.candidates.query == query])


def test_one_request_is_what_it_is_among_others(generator):
    made = retrieval()
    together = made(ASKED, generator, banned=ASKED.histories)
    frame = together.features()
    for number in range(len(ASKED)):
        asked = dataclasses.replace(
            ASKED,
            histories=[ASKED.histories[number]],
            times=[ASKED.times[number]],
            bought=[ASKED.bought[number]],
            now=ASKED.now[number : number + 1],
        )
        alone = made(asked, generator, banned=asked.histories)
        rows = together.candidates.query == number
        assert alone.candidates.item.tolist() == together.candidates.item[rows].tolist()
        for name, column in alone.features().to_dict().items():
            np.testing.assert_allclose(column, frame[name].filter(rows), rtol=1e-4, atol=1e-5, err_msg=name)


def test_what_is_not_allowed_is_no_candidate_and_a_closed_shop_has_none(generator):
    allowed = np.zeros(NUM_ITEMS, dtype=bool)
    allowed[[4, 6]] = True
    found = retrieval()(ASKED, generator, banned=ASKED.histories, allowed=allowed)
    assert set(found.candidates.item) == {4, 6}
    closed = retrieval()(ASKED, generator, allowed=np.zeros(NUM_ITEMS, dtype=bool))
    assert (len(closed.candidates), closed.features().height, closed.num_without) == (0, 0, len(ASKED))


def test_without_a_generator_there_are_the_channels(generator):
    found = retrieval()(ASKED)
    assert found.candidates.channels == ("itemcf", "transitions")
    assert "dense" not in found.features().columns
    found = retrieval(voters=("itemcf",))(ASKED, generator)
    assert (found.candidates.ranks[found.candidates.query == 0][:, 1] >= 0).all()


def test_a_saved_retrieval_gives_the_same(generator, tmp_path):
    made = retrieval(voters=("itemcf", "generator"), rule="round_robin")
    made.save(tmp_path)
    loaded = Retrieval.load(tmp_path)
    assert (loaded.counts, loaded.limit, loaded.rule, loaded.voters) == (COUNTS, 5, made.rule, made.voters)
    one, other = (r(ASKED, generator, banned=ASKED.histories) for r in (made, loaded))
    assert one.features().equals(other.features(), null_equal=True)


def test_a_retrieval_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match=r"retrieval\.json: cannot be read"):
        Retrieval.load(tmp_path)
    (tmp_path / "retrieval.json").write_text('{"channels": ["../x"]}')
    with pytest.raises(DataError, match=r"retrieval\.json: cannot be read"):
        Retrieval.load(tmp_path)
