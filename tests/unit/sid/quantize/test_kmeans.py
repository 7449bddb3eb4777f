"""k-means of any number of points."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.sid.quantize.kmeans import distinct_rows, kmeans
from tests.support.sid_samples import clustered


@settings(deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([0.0, -0.0, 1.0, 1.5, -3.0]), min_size=3, max_size=3), min_size=1, max_size=40)
)
def test_distinct_rows_are_the_first_of_each_kind(rows):
    vectors = np.array(rows, dtype=np.float32)
    first: dict[tuple, int] = {}
    for i, row in enumerate(vectors + np.float32(0)):
        first.setdefault(tuple(row.tolist()), i)
    assert distinct_rows(vectors).tolist() == sorted(first.values())


def test_well_separated_clusters_are_found():
    vectors, labels = clustered(400, 6, 4, seed=3, noise=0.01, with_labels=True)
    centroids = kmeans(vectors, 16, num_iterations=20, seed=0)
    nearest = np.square(vectors[:, None] - centroids[None]).sum(axis=2).argmin(axis=1)
    assert all(len(np.unique(labels[nearest == code])) == 1 for code in np.unique(nearest))


def test_few_distinct_points_are_their_own_centroids():
    vectors = np.repeat(np.eye(3, dtype=np.float32), 5, axis=0)
    centroids = kmeans(vectors, 8, num_iterations=5, seed=0)
    assert centroids.shape == (8, 3)
    assert {tuple(row) for row in centroids.tolist()} == {tuple(row) for row in np.eye(3).tolist()}


def test_centroids_are_the_means_of_their_points():
    vectors = clustered(500, 5, 10, seed=0, noise=1.0)
    centroids = kmeans(vectors, 7, num_iterations=300, seed=1)
    nearest = np.square(vectors[:, None] - centroids[None]).sum(axis=2).argmin(axis=1)
    means = np.stack([vectors[nearest == code].mean(axis=0) for code in range(7)])
    np.testing.assert_allclose(centroids, means, atol=1e-4)


def test_a_far_origin_does_not_blur_the_clusters():
    vectors = clustered(400, 6, 12, seed=3, noise=0.05)
    near = kmeans(vectors, 12, num_iterations=20, seed=0)
    far = kmeans(vectors + 300, 12, num_iterations=20, seed=0)
    np.testing.assert_allclose(near, far - 300, atol=1e-2)
