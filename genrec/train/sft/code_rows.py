"""Initial embeddings of the semantic-id tokens from the vectors of their items instead of from noise.

A code of level l stands for what levels 0..l-1 left over of its items' vectors: the mean residual, which is the
tokenizer's own code vector for items whose id no repair changed. A random projection brings it to the model's width; it keeps
distances (Johnson & Lindenstrauss 1984).
"""

import numpy as np
import torch

from genrec.model import adapter
from genrec.model.policy import Policy


def code_means(sids: np.ndarray, vectors: np.ndarray, num_codes: int) -> np.ndarray:
    """float32 [L, K, V]: by level, the mean residual of the items with each code; 0 where a code has no item."""
    residual = vectors - vectors.mean(0)
    means = np.zeros((sids.shape[1], num_codes, vectors.shape[1]), dtype=np.float32)
    for level, codes in enumerate(sids.T):
        np.add.at(means[level], codes, residual)
        means[level] /= np.maximum(np.bincount(codes, minlength=num_codes), 1)[:, None]
        residual = residual - means[level][codes]
    return means


@torch.no_grad()
def initialise(policy: Policy, sids: np.ndarray, vectors: np.ndarray, seed: int) -> None:
    """Overwrite the token rows of codes that have items, in the embedding and in an output head of its own.

    The new rows are as wide around the same centre as those they replace. `sids` int64[N, L], `vectors` float32[N, V].
    """
    vocab, model = policy.vocab, policy.causal_model
    means = code_means(sids, vectors, vocab.num_codes).reshape(vocab.num_tokens, -1)
    generator = torch.Generator().manual_seed(seed)
    modules = (model.get_input_embeddings(), model.get_output_embeddings())
    tables = [adapter.token_rows(module, vocab.first_token_id, vocab.end_token_id) for module in modules]
    projection = torch.randn(means.shape[1], model.config.hidden_size, generator=generator)
    projected = torch.from_numpy(means) @ projection
    used = torch.from_numpy(means.any(1))
    if not used.any():
        return
    projected /= projected[used].std()
    for rows in {table.data_ptr(): table for table in tables}.values():  # one table where the two are tied
        centre, width = rows.float().mean(0), rows.float().std()
        rows[used.to(rows.device)] = (centre + width * projected.to(rows.device)[used]).to(rows.dtype)
