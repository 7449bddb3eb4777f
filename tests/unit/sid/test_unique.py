"""The extra token."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.config import SidConfig
from genrec.errors import DataError
from genrec.sid.assign import assign
from genrec.sid.unique import count_within
from tests.support.sid_samples import clustered, write_inputs


def test_items_with_one_id_are_counted_in_their_order():
    raw = np.array([[1, 2], [0, 0], [1, 2], [1, 2]])
    assert count_within(raw, 4).tolist() == [[1, 2, 0], [0, 0, 0], [1, 2, 1], [1, 2, 2]]


def test_counting_goes_on_after_the_ids_in_use():
    taken = np.array([[1, 2, 0], [1, 2, 5], [3, 3, 1]])
    assert count_within(np.array([[1, 2], [3, 3], [0, 0], [1, 2]]), 8, taken)[:, -1].tolist() == [6, 2, 0, 7]


def test_more_items_with_one_id_than_the_token_can_count_are_an_error():
    with pytest.raises(DataError, match=r"3 items share the id \[1, 2\].*num_codes 2.*reassign"):
        count_within(np.array([[1, 2]] * 3), 2)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40))
def test_counted_ids_are_unique_and_begin_with_the_codes(rows):
    raw = np.array(rows)
    ids = count_within(raw, 64)
    assert len(np.unique(ids, axis=0)) == len(raw)
    np.testing.assert_array_equal(ids[:, :2], raw)


def test_the_stage_writes_one_more_token_and_says_so(tmp_path):
    vectors = np.repeat(clustered(50, 6, 10, seed=0), 3, axis=0)
    config = SidConfig(num_levels=2, num_codes=64, deduplicate="extra_token")
    assert config.total_levels == 3
    assert SidConfig(num_levels=2).total_levels == 2
    summary = assign(*write_inputs(tmp_path, vectors), config, 0, tmp_path, device="cpu")
    table = pq.read_table(tmp_path / "sids.parquet")
    sids, raw = np.stack(table["sid"].to_numpy()), np.stack(table["raw"].to_numpy())
    assert sids.shape == raw.shape == (150, 3)
    assert summary["num_levels"] == 3
    assert summary["collision_rate_raw"] == 1.0
    assert summary["collision_rate"] == 0.0
    np.testing.assert_array_equal(sids[:, :2], raw[:, :2])
    assert not raw[:, 2].any()
    assert summary["moved_share"] == pytest.approx(np.mean(sids[:, 2] > 0))
    assert json.loads((tmp_path / "tokenizer.json").read_text())["deduplicate"] == "extra_token"
