"""The new model and the one in service on the same rows."""

import pytest

from genrec import tables
from genrec.config import EvaluateConfig
from genrec.in_service.ranks import CURRENT, MEASURED, NEW, read_ranks, write_ranks
from genrec.measure.decoding import decode_shard
from genrec.measure.rows import read_rows
from tests.support.evaluate_tiny import write_model, write_prepared, write_sid_artifact

CONFIG = EvaluateConfig(beam_width=5, ks=[5])


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A model compared with itself: its prepared data, decoded parts, and the artifact with its summary."""
    root = tmp_path_factory.mktemp("ranks")
    prepared, sids = write_prepared(root / "prepared"), write_sid_artifact(root / "sids")
    model = write_model(root / "model", prepared)
    for split, name in MEASURED:
        known = prepared if name == CURRENT else None
        bounds = (0, len(read_rows(prepared, split)))
        decode_shard(prepared, sids, model, None, name, CONFIG, bounds, root / split, split=split,
                     protocols=[CONFIG.seen_items], trained_on=known, device="cpu")  # fmt: skip
    (root / "out").mkdir()
    return prepared, root, write_ranks(root, prepared, prepared, CONFIG, root / "out")


def test_a_model_in_service_ranks_its_own_rows_as_it_did_when_it_was_new(measured):
    prepared, root, _ = measured
    (users, new), (_, current) = (read_ranks(root / "out", "valid", model) for model in (NEW, CURRENT))
    assert new.tolist() == current.tolist()
    assert users.tolist() == read_rows(prepared, "valid").users.tolist()


def test_one_protocol_is_decoded_and_test_rows_by_the_model_in_service_alone(measured):
    prepared, root, _ = measured
    assert sorted(p.name for p in (root / "test").glob("*.parquet")) == [f"{CURRENT}.drop.0000000000.parquet"]
    part = tables.read_table(root / "test" / f"{CURRENT}.drop.0000000000.parquet")
    assert read_ranks(root / "out", "test", CURRENT)[1].tolist() == part["rank"].to_pylist()
    assert len(read_ranks(root / "out", "test", NEW)[1]) == 0
    assert len(part) == len(read_rows(prepared, "test"))


def test_the_summary_counts_rows_and_unknown_targets(measured):
    num_rows = len(read_rows(measured[0], "test"))
    assert measured[2] == {"rows": num_rows, "unknown_targets": 0, "valid_rows": num_rows}
