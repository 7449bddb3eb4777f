"""Co-occurrence counts and PPMI by hand, and what fused vectors keep of text and of co-occurrence."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.config import FusionConfig, SidConfig
from genrec.errors import DataError
from genrec.sid.assign import assign
from genrec.sid.cooccurrence import cooccurrence_counts, ppmi, ppmi_embedding
from genrec.sid.fusion import Fusion, fused_vectors
from genrec.tables import SEQUENCES, write_table
from tests.support.sid_samples import clustered, write_inputs


def write_train(folder, sequences):
    rows = len(sequences)
    table = pa.table(
        {
            "user": pa.array(range(rows), pa.int32()),
            "user_id": [f"u{i}" for i in range(rows)],
            "items": pa.array(sequences, pa.list_(pa.int32())),
            "events": [["click"] * len(s) for s in sequences],
            "timestamps": pa.array([list(range(len(s))) for s in sequences], pa.list_(pa.int64())),
        }
    )
    write_table(table, folder / "train.parquet", SEQUENCES)
    return folder / "train.parquet"


def test_counts_are_inverse_distances_within_the_window_and_a_sequence(tmp_path):
    path = write_train(tmp_path, [[0, 1, 2, 3], [3, 0], [], [2, 2]])
    counts = cooccurrence_counts(path, 5, window=2).toarray()
    expected = np.zeros((5, 5))
    for a, b, weight in [(0, 1, 1), (1, 2, 1), (2, 3, 1), (0, 2, 0.5), (1, 3, 0.5), (3, 0, 1)]:
        expected[a, b] += weight
        expected[b, a] += weight
    np.testing.assert_allclose(counts, expected)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(0, 5), max_size=7), max_size=6), st.integers(1, 9))
def test_counts_are_those_of_two_plain_loops(tmp_path_factory, sequences, window):
    path = write_train(tmp_path_factory.mktemp("train"), sequences)
    expected = np.zeros((6, 6))
    for sequence in sequences:
        for i, a in enumerate(sequence):
            for distance, b in enumerate(sequence[i + 1 : i + 1 + window], start=1):
                if a != b:
                    expected[a, b] += 1 / distance
                    expected[b, a] += 1 / distance
    np.testing.assert_allclose(cooccurrence_counts(path, 6, window).toarray(), expected)


def test_an_item_outside_the_catalogue_is_named(tmp_path):
    with pytest.raises(DataError, match="item 7 in a catalogue of 5"):
        cooccurrence_counts(write_train(tmp_path, [[0, 7]]), 5, 2)


def test_ppmi_is_the_positive_logarithm_of_observed_to_expected(tmp_path):
    counts = cooccurrence_counts(write_train(tmp_path, [[0, 1], [0, 1], [2, 3], [0, 2]]), 4, window=1)
    dense, totals = counts.toarray(), counts.toarray().sum(1)
    contexts = totals**0.75
    with np.errstate(divide="ignore"):
        expected = np.log(dense / dense.sum() / np.outer(totals / totals.sum(), contexts / contexts.sum()))
    np.testing.assert_allclose(ppmi(counts, 0.75).toarray(), np.maximum(expected, 0), atol=1e-12)


def test_items_bought_together_lie_close_and_lonely_ones_at_zero(tmp_path):
    rng = np.random.default_rng(0)
    sequences = [rng.permutation(np.arange(10) + 10 * (i % 3)).tolist() for i in range(60)]
    counts = cooccurrence_counts(write_train(tmp_path, sequences), 31, window=5)
    vectors = ppmi_embedding(counts, 8, 0.75)
    assert vectors.dtype == np.float32
    assert not vectors[30].any()
    unit = vectors[:30] / np.linalg.norm(vectors[:30], axis=1, keepdims=True)
    similar, group = unit @ unit.T, np.arange(30) // 10
    same = group[:, None] == group
    assert similar[same].mean() > 0.5
    assert abs(similar[~same].mean()) < 0.1


def test_the_embedding_of_all_dimensions_is_that_of_arpack(tmp_path):
    sequences = np.random.default_rng(0).integers(0, 30, (40, 8)).tolist()
    counts = cooccurrence_counts(write_train(tmp_path, sequences), 30, window=3)
    whole, part = ppmi_embedding(counts, 30, 0.75), ppmi_embedding(counts, 6, 0.75)
    np.testing.assert_allclose(part, whole[:, :6], atol=1e-4)
    assert ppmi_embedding(counts, 6, 0.75).tobytes() == part.tobytes()


def shop(tmp_path, weight):
    """Items 0..19 like 20..39 in text; bought with their own kind of parity; 40..49 never bought."""
    rng = np.random.default_rng(0)
    text = np.repeat(rng.normal(size=(5, 12)), 10, axis=0).astype(np.float32)
    text += 0.01 * rng.normal(size=text.shape).astype(np.float32)
    sequences = [(rng.permutation(20)[:8] * 2 + i % 2).tolist() for i in range(200)]
    path = write_train(tmp_path, sequences)
    return text, path, fused_vectors(text, path, FusionConfig(weight=weight, dim=8))


def test_no_weight_is_text_alone(tmp_path):
    text, _, (vectors, fusion) = shop(tmp_path, 0.0)
    assert vectors is text
    assert fusion is None


@pytest.mark.parametrize("weight", [0.2, 0.7])
def test_the_weight_is_the_share_of_the_squared_distances(tmp_path, weight):
    text, _, (vectors, _) = shop(tmp_path, weight)
    warm = vectors[:40]
    spread = np.square(warm - warm.mean(0)).sum(axis=0)
    whole = np.square(vectors[:, :12] - vectors[:, :12].mean(0)).sum(axis=1).mean()
    assert whole == pytest.approx(1 - weight, rel=1e-4)
    assert spread[12:].sum() / 40 == pytest.approx(weight, rel=1e-4)
    np.testing.assert_allclose(vectors[:, :12] / text, np.full_like(text, vectors[0, 0] / text[0, 0]), rtol=1e-4)


def test_co_occurrence_parts_items_that_text_cannot(tmp_path):
    _, _, (vectors, _) = shop(tmp_path, 0.5)
    even, odd = vectors[0:10:2], vectors[1:10:2]  # one text cluster, two kinds of buyers
    within = np.square(even[:, None] - even[None]).sum(-1).max()
    assert np.square(even[:, None] - odd[None]).sum(-1).min() > within


def test_cold_items_depend_on_their_text_alone(tmp_path):
    text, _, (vectors, fusion) = shop(tmp_path, 0.5)
    np.testing.assert_allclose(fusion.fuse(text[40:]), vectors[40:], atol=1e-6)
    # What others buy, as long as the map from text stays: nothing of it is in a cold item's vector.
    assert np.square(vectors[40:, None] - vectors[None, 40:]).sum(-1).max() < 0.01


def test_a_saved_fusion_is_the_same_map(tmp_path):
    text, _, (_, fusion) = shop(tmp_path, 0.5)
    fusion.save(tmp_path)
    again = Fusion.load(tmp_path)
    assert again.fuse(text).tobytes() == fusion.fuse(text).tobytes()
    with pytest.raises(DataError, match="3 dimensions where the fused ids have 12"):
        again.fuse(text[:, :3])
    (tmp_path / "fusion.safetensors").write_bytes(b"no")
    with pytest.raises(DataError, match="not a saved fusion"):
        Fusion.load(tmp_path)


def test_without_any_pair_of_events_text_stands_alone(tmp_path):
    text = clustered(10, 4, 3, seed=0)
    vectors, fusion = fused_vectors(text, write_train(tmp_path, [[0], [3], []]), FusionConfig(weight=0.5))
    assert vectors is text
    assert fusion is None


def test_the_stage_fuses_and_keeps_the_map(tmp_path):
    text, train, _ = shop(tmp_path, 0.5)
    inputs = write_inputs(tmp_path, text)
    config = SidConfig(num_codes=8, fusion={"weight": 0.5, "dim": 8})
    assert assign(*inputs, config, 0, tmp_path, train, device="cpu")["collision_rate"] == 0
    assert Fusion.load(tmp_path) is not None
    with pytest.raises(DataError, match=r"train\.parquet"):
        assign(*inputs, config, 0, tmp_path, device="cpu")
