"""Ids from one day to the next: known items keep theirs, new ones get free ones, drift is noticed."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genrec.config import SidConfig
from genrec.embed.vectors import write_item_vectors
from genrec.sid.assign import assign
from genrec.sid.daily.keep import CannotKeep, keep_ids
from genrec.sid.daily.new_items import extend
from genrec.tables import KNOWN_IDS_FILE, read_sids
from tests.support.embed_tiny import catalogue_of
from tests.support.sid_samples import clustered

VECTORS = clustered(500, 8, 40, seed=0, noise=0.5)


def _day(folder, numbers, vectors=VECTORS):
    """A catalogue of the items with these numbers, in this order; its vectors and catalogue files."""
    folder.mkdir()
    write_item_vectors(vectors[numbers], folder / "vectors.parquet")
    table = catalogue_of([{"title": f"Item {i}"} for i in numbers])
    table = table.set_column(0, "item_id", pa.array([f"item-{i}" for i in numbers]))
    pq.write_table(table, folder / "catalogue.parquet")
    return folder


def _keep(day, before, config, out=None):
    return keep_ids(
        day / "vectors.parquet",
        day / "catalogue.parquet",
        config,
        out or day,
        previous=before,
        previous_catalogue=before / "catalogue.parquet",
        previous_vectors=before,
        device="cpu",
    )


@pytest.fixture(params=["reassign", "extra_token"])
def config(request):
    return SidConfig(num_codes=32, deduplicate=request.param)


def _ids(folder, numbers):
    return dict(zip(numbers, map(tuple, read_sids(folder).tolist()), strict=True))


def test_known_items_keep_their_ids_whatever_their_number_and_new_ones_get_free_ids(tmp_path, config):
    first_items, items = np.arange(400), np.random.default_rng(0).permutation(450)[:430]
    first = _day(tmp_path / "first", first_items)
    assert assign(first / "vectors.parquet", first / "catalogue.parquet", config, 0, first)["ids"] == "fitted"
    day = _day(tmp_path / "second", items)
    summary = _keep(day, first, config)
    old, new = _ids(first, first_items), _ids(day, items)
    assert all(new[i] == old[i] for i in items if i < 400)
    assert len(set(new.values()) | set(old.values())) == 400 + sum(items >= 400)
    assert (summary["ids"], summary["num_new"]) == ("kept", sum(items >= 400))
    assert summary["collision_rate"] == 0
    for name in ("tokenizer.safetensors", "tokenizer.json"):
        assert (day / name).read_bytes() == (first / name).read_bytes()


def test_an_item_that_comes_back_has_its_old_id_and_nobody_else_got_it(tmp_path, config):
    first = _day(tmp_path / "a", np.arange(400))
    assign(first / "vectors.parquet", first / "catalogue.parquet", config, 0, first)
    second = _day(tmp_path / "b", np.arange(50, 450))
    _keep(second, first, config)
    third_items = np.arange(500)
    third = _day(tmp_path / "c", third_items)
    summary = _keep(third, second, config)
    ids = _ids(third, third_items)
    assert len(set(ids.values())) == 500
    assert {i: ids[i] for i in range(400)} == _ids(first, np.arange(400))
    assert {i: ids[i] for i in range(50, 450)} == _ids(second, np.arange(50, 450))
    assert (summary["num_new"], summary["num_since_fit"]) == (50, 100)
    assert pq.read_metadata(KNOWN_IDS_FILE.path(third)).num_rows == 500


def test_kept_ids_are_what_extend_gives_and_the_same_inputs_give_the_same_bytes(tmp_path):
    config = SidConfig(num_codes=32)
    first = _day(tmp_path / "a", np.arange(400))
    assign(first / "vectors.parquet", first / "catalogue.parquet", config, 0, first)
    day = _day(tmp_path / "b", np.arange(440))
    again = tmp_path / "again"
    again.mkdir()
    _keep(day, first, config)
    _keep(day, first, config, again)
    np.testing.assert_array_equal(read_sids(day)[400:], extend(first, VECTORS[400:440], device="cpu").sids)
    for file in again.iterdir():
        assert file.read_bytes() == (day / file.name).read_bytes(), file.name


def test_drift_is_counted_over_all_days_since_the_fit(tmp_path):
    config = SidConfig(num_codes=32)
    first = _day(tmp_path / "a", np.arange(400))
    assign(first / "vectors.parquet", first / "catalogue.parquet", config, 0, first)
    other = VECTORS.copy()
    other[400:] = 3 * np.random.default_rng(1).normal(size=(100, 8))  # nothing like the items of the first day
    second = _day(tmp_path / "b", np.arange(420), other)
    assert _keep(second, first, config)["error_ratio"] > 2  # 20 items say nothing yet
    third = _day(tmp_path / "c", np.arange(440), other)
    with pytest.raises(CannotKeep, match="times as badly as held-out ones"):
        _keep(third, second, config)


def test_vectors_of_another_space_or_width_and_a_strange_catalogue_are_refused(tmp_path):
    config = SidConfig(num_codes=32)
    first = _day(tmp_path / "a", np.arange(100))
    assign(first / "vectors.parquet", first / "catalogue.parquet", config, 0, first)
    with pytest.raises(CannotKeep, match="vectors of 100% of the known items differ"):
        _keep(_day(tmp_path / "turned", np.arange(120), VECTORS[:, ::-1].copy()), first, config)
    with pytest.raises(CannotKeep, match="7 dimensions"):
        _keep(_day(tmp_path / "narrow", np.arange(120), VECTORS[:, :7].copy()), first, config)
    with pytest.raises(CannotKeep, match="no item in common"):
        _keep(_day(tmp_path / "strange", np.arange(200, 300)), first, config)


def test_without_a_held_out_check_ids_are_kept_and_the_error_is_unknown(tmp_path):
    config = SidConfig(num_codes=32, refit=False)
    first = _day(tmp_path / "a", np.arange(100))
    assign(first / "vectors.parquet", first / "catalogue.parquet", config, 0, first)
    assert _keep(_day(tmp_path / "b", np.arange(160)), first, config)["error_ratio"] is None
    assert "held_out" not in json.loads((tmp_path / "b" / "quality.json").read_text())


def test_no_free_ids_means_a_new_fit(tmp_path):
    config = SidConfig(num_levels=2, num_codes=11, refit=False)
    first = _day(tmp_path / "a", np.arange(100))
    assign(first / "vectors.parquet", first / "catalogue.parquet", config, 0, first)
    with pytest.raises(CannotKeep, match="get no ids"):
        _keep(_day(tmp_path / "b", np.arange(20, 130)), first, config)
