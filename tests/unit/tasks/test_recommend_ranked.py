"""The stage `recommend` with the ranking of its model, and without."""

from pathlib import Path

import pytest

from genrec.config import Config
from genrec.store.local import Artifact
from tasks.stages.recommend import ranked_by, recommend


def artifact(**summary):
    return Artifact("rank-1", "rank", Path(), "", summary, 0.0)


@pytest.mark.parametrize(
    ("asked", "found", "used"),
    [
        (True, {"use": True}, True),
        (True, {"use": False}, False),
        (True, None, False),
        (None, {"use": True}, False),
        (False, {"use": True}, False),
    ],
)
def test_lists_are_ranked_where_that_is_set_and_of_use(asked, found, used):
    artifacts = {} if found is None else {"rank": artifact(**found)}
    assert bool(ranked_by(Config(service={"rank": asked}), artifacts)) is used


def test_the_key_of_lists_without_a_ranking_is_what_it_was_and_another_one_with_it():
    inputs = {name: Artifact(f"{name}-1", name, Path(), "", {}, 0.0) for name in ("ingest", "prepare", "embed", "sid")}
    plain = recommend.key(Config(), inputs)[0]
    assert recommend.key(Config(service={"rank": True}), inputs)[0] == plain
    assert recommend.key(Config(), inputs | {"rank": artifact(use=True)})[0] != plain
