import numpy as np
import pytest

from genrec.sid.nearest import nearest

RNG = np.random.default_rng(0)
POOL = RNG.normal(size=(200, 8)).astype(np.float32)
QUERIES = RNG.normal(size=(30, 8)).astype(np.float32)


@pytest.mark.parametrize("num_gpus", [0, 1])
def test_the_nearest_are_those_of_the_plain_product_and_a_gpu_is_used_where_there_is_one(monkeypatch, num_gpus):
    used = []

    def knn_gpu(resources, queries, pool, k, metric):
        used.append(resources)
        return faiss.knn(queries, pool, k, metric=metric)

    import faiss

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: num_gpus, raising=False)
    monkeypatch.setattr(faiss, "StandardGpuResources", lambda: "gpu", raising=False)
    monkeypatch.setattr(faiss, "knn_gpu", knn_gpu, raising=False)
    products, rows = nearest(QUERIES, POOL, 5)
    wanted = np.argsort(-(QUERIES @ POOL.T), axis=1)[:, :5]
    np.testing.assert_array_equal(rows, wanted)
    np.testing.assert_allclose(products, np.take_along_axis(QUERIES @ POOL.T, wanted, axis=1), rtol=1e-5)
    assert used == ["gpu"] * num_gpus


def test_more_neighbours_than_a_gpu_can_select_are_found_without_it(monkeypatch):
    import faiss

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1, raising=False)
    monkeypatch.setattr(faiss, "StandardGpuResources", lambda: pytest.fail("used a GPU"), raising=False)
    pool = RNG.normal(size=(3000, 2)).astype(np.float32)
    assert nearest(QUERIES[:1, :2].copy(), pool, 2049)[1].shape == (1, 2049)
