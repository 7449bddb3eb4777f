"""Balanced k-means against plain properties."""

import numpy as np
import pytest
import torch

from genrec.sid.quantize.balanced_kmeans import balanced_kmeans, halved_centroids, means, squared_norms
from genrec.sid.quantize.distances import Bounds
from tests.support.sid_samples import clustered


def test_halving_gives_each_code_its_share_of_the_points():
    points = torch.from_numpy(np.linspace(0, 1, 100, dtype=np.float32)[:, None])
    centroids = halved_centroids(points, 5, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(np.sort(centroids[:, 0].numpy()), [0.096, 0.298, 0.5, 0.702, 0.904], atol=0.02)


def test_means_and_inertia_are_those_of_the_definition():
    points, codes = clustered(50, 4, 5, seed=0), np.arange(50) % 3
    centers, explained = means(torch.from_numpy(points), torch.from_numpy(codes), torch.full((4, 4), 7.0))
    inertia = squared_norms(torch.from_numpy(points)) - explained
    expected = np.stack([points[codes == c].mean(0) for c in range(3)])
    np.testing.assert_allclose(centers[:3], expected, atol=1e-6)
    assert centers[3].tolist() == [7.0] * 4
    assert inertia == pytest.approx(np.square(points - expected[codes]).sum(), rel=1e-5)


def test_balanced_k_means_pays_little_for_balance_where_clusters_are_even():
    vectors, labels = clustered(400, 6, 8, seed=2, noise=0.05, with_labels=True, even=True)
    points = torch.from_numpy(vectors)
    _, _, codes = balanced_kmeans(points, 8, Bounds(49, 51), num_iterations=20, tolerance=0.0, seed=0)
    assert all(len(np.unique(labels[codes.numpy() == code])) == 1 for code in range(8))
