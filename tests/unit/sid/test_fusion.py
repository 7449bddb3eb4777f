"""Fusion of text and co-occurrence."""

import numpy as np
import pytest

from genrec.config import FusionConfig, SidConfig
from genrec.errors import DataError
from genrec.sid.assign import assign
from genrec.sid.fusion import Fusion, fused_vectors
from tests.support.sid_samples import clustered, write_inputs, write_train


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
