"""Exact nearest neighbours by inner product, by faiss (Johnson et al. 2017, arXiv 1702.08734)."""

import numpy as np

_MAX_GPU_K = 2048  # faiss selects no more on a GPU


def nearest(queries: np.ndarray, pool: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(inner products float32 [n, k], rows of the pool int64 [n, k]), best first; on the GPU where faiss sees one that can.

    `queries` float32 [n, d] and `pool` float32 [N, d], C-contiguous; k <= N.
    """
    import faiss

    if k <= _MAX_GPU_K and faiss.get_num_gpus() > 0:
        return faiss.knn_gpu(faiss.StandardGpuResources(), queries, pool, k, metric=faiss.METRIC_INNER_PRODUCT)
    return faiss.knn(queries, pool, k, metric=faiss.METRIC_INNER_PRODUCT)
