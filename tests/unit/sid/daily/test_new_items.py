"""Ids of new items from frozen codebooks, and when these have drifted."""

import json

import numpy as np
import pytest

from genrec.config import SidConfig
from genrec.errors import DataError
from genrec.sid.assign import assign
from genrec.sid.daily.new_items import MIN_NEW_ITEMS, drift, extend
from genrec.tables import read_sids
from tests.support.sid_samples import clustered, write_inputs

VECTORS = clustered(500, 8, 40, seed=0, noise=0.5)


@pytest.fixture(scope="module", params=["reassign", "extra_token"])
def artifact(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sid")
    config = SidConfig(num_codes=32, deduplicate=request.param)
    assign(*write_inputs(folder, VECTORS[:400]), config, 0, folder, device="cpu")
    return folder


def test_new_items_get_free_ids_and_nobody_moves(artifact):
    before = (artifact / "sids.parquet").read_bytes()
    new = extend(artifact, VECTORS[400:], device="cpu")
    old = read_sids(artifact)
    together = np.concatenate([old, new.sids])
    assert len(np.unique(together, axis=0)) == 500
    assert new.sids.dtype == np.int32
    assert (artifact / "sids.parquet").read_bytes() == before


def test_a_copy_of_an_item_gets_an_id_beside_it(artifact):
    old = read_sids(artifact)
    new = extend(artifact, VECTORS[:3], device="cpu")
    assert new.moved.all()
    # An extra token leaves the learned codes; reassigning leaves all but the last.
    np.testing.assert_array_equal(new.raw[:, :2], new.sids[:, :2])
    np.testing.assert_array_equal(new.raw[:, :2], old[:3, :2])
    assert not (new.sids[:, None] == old[None]).all(-1).any()


def test_growth_day_by_day_never_gives_an_id_twice(artifact):
    taken = read_sids(artifact)
    for start in range(400, 500, 25):
        new = extend(artifact, VECTORS[start : start + 25], taken, device="cpu")
        taken = np.concatenate([taken, new.sids])
    assert len(np.unique(taken, axis=0)) == 500


def test_items_whose_nearest_id_is_free_keep_it(artifact):
    new = extend(artifact, VECTORS[400:], device="cpu")
    unmoved = ~new.moved
    np.testing.assert_array_equal(new.sids[unmoved, :3], new.raw[unmoved])
    assert 0 < unmoved.mean() < 1


def test_items_of_the_same_shop_are_no_drift_and_of_another_are(artifact):
    same = drift(artifact, extend(artifact, VECTORS[400:], device="cpu"))
    assert not same.retrain
    assert same.num_new == 100
    assert 0.5 < same.error_ratio < 1.5
    other = drift(artifact, extend(artifact, clustered(100, 8, 40, seed=77), device="cpu"))
    assert other.retrain
    assert other.error_ratio > 1.5
    assert "times as badly" in other.reasons[0]


def test_many_copies_of_known_items_are_a_reason_of_their_own(artifact):
    drifted = drift(artifact, extend(artifact, np.repeat(VECTORS[:50], 2, axis=0), device="cpu"))
    assert any("find their id in use" in reason for reason in drifted.reasons)


def test_a_handful_of_items_decides_nothing(artifact):
    few = extend(artifact, clustered(MIN_NEW_ITEMS - 1, 8, 40, seed=77), device="cpu")
    assert not drift(artifact, few).retrain


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones((2, 5), np.float32), r"5 dimensions where the tokenizer of .* reads 8"),
        (np.full((2, 8), np.nan, np.float32), "the vector of new item 0 is not finite"),
        (np.empty((0, 8), np.float32), r"shape \(0, 8\)"),
    ],
)
def test_vectors_that_cannot_be_are_refused(artifact, vectors, message):
    with pytest.raises(DataError, match=message):
        extend(artifact, vectors)


def test_drift_needs_the_held_out_check(tmp_path):
    config = SidConfig(num_codes=16, refit=False)
    assign(*write_inputs(tmp_path, VECTORS[:100]), config, 0, tmp_path, device="cpu")
    assert "held_out" not in json.loads((tmp_path / "quality.json").read_text())
    with pytest.raises(DataError, match=r"sid\.refit: true"):
        drift(tmp_path, extend(tmp_path, VECTORS[400:], device="cpu"))


def test_no_ids_left_is_an_error(tmp_path):
    config = SidConfig(num_codes=4, num_levels=2)
    assign(*write_inputs(tmp_path, VECTORS[:16]), config, 0, tmp_path, device="cpu")
    with pytest.raises(DataError, match="unique ids"):
        extend(tmp_path, VECTORS[16:17], device="cpu")
