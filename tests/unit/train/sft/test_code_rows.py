import numpy as np
import pytest
import torch

from genrec.train.sft import code_rows
from tests.support.rl_tiny import (
    NUM_CODES,
    NUM_ITEMS,
    SIDS,
    VOCAB,
    tiny_policy,
)


def test_token_rows_start_as_mean_residuals_of_their_items():
    vectors = np.random.default_rng(1).normal(size=(NUM_ITEMS, 5)).astype(np.float32)
    means = code_rows.code_means(SIDS.astype(np.int64), vectors, NUM_CODES)
    centred = vectors - vectors.mean(0)
    np.testing.assert_allclose(means[0, 1], centred[SIDS[:, 0] == 1].mean(0), atol=1e-6)
    left = centred - means[0][SIDS[:, 0]]
    np.testing.assert_allclose(means[1, 2], left[SIDS[:, 1] == 2].mean(0), atol=1e-6)
    assert not means[0, 3].any()  # no item has the code

    for tied in (True, False):
        policy, before = tiny_policy(tied=tied), tiny_policy(tied=tied)
        code_rows.initialise(policy, SIDS.astype(np.int64), vectors, seed=0)
        for name, new in policy.model.named_parameters():
            old = before.model.get_parameter(name)
            if name.endswith(("embed_tokens.weight", "lm_head.weight")):
                assert not torch.equal(new, old)
                new, old = new[: VOCAB.first_token_id], old[: VOCAB.first_token_id]
            torch.testing.assert_close(new, old, rtol=0, atol=0)  # the words of the base model stay
        rows, old_rows = policy.head_rows(), before.head_rows()
        torch.testing.assert_close(rows[0, 3], old_rows[0, 3], rtol=0, atol=0)
        used = rows[0, :3]
        assert used.std().item() == pytest.approx(old_rows.std().item(), rel=0.5)
        near = torch.cdist(torch.from_numpy(means[0, :3]), torch.from_numpy(means[0, :3]))
        assert torch.corrcoef(torch.stack([near.flatten(), torch.cdist(used, used).detach().flatten()]))[0, 1] > 0.8
