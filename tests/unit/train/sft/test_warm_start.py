"""Fine-tuning from the model in service."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from genrec.errors import DataError
from genrec.model.item_vectors import ItemVectors
from genrec.model.policy import Policy
from genrec.train.sft.warm_start import WarmStart, load_weights
from tests.support import lm_tiny
from tests.support.lm_tiny import attach, perturb
from tests.support.rl_tiny import NUM_ITEMS, SIDS, tiny_policy


def _catalogue(path, ids):
    pq.write_table(pa.table({"item_id": ids}), path)
    return path


def _with_items(policy: Policy, num_items: int, seed: int) -> Policy:
    torch.manual_seed(seed)
    width = policy.causal_model.config.hidden_size
    items = ItemVectors(SIDS[:num_items], policy.vocab.num_codes, width, None, ids=True)
    policy.use_items(items, "item_tokens", {}, 0.5)
    return policy


def test_every_weight_starts_where_the_model_in_service_is(tmp_path):
    earlier = tiny_policy(seed=1)
    earlier.save(tmp_path / "old")
    catalogue = _catalogue(tmp_path / "c.parquet", [f"i{i}" for i in range(NUM_ITEMS)])
    policy = tiny_policy(seed=2)
    assert load_weights(policy, WarmStart(tmp_path / "old", tmp_path / "old", catalogue), catalogue) == 1.0
    theirs = dict(earlier.model.named_parameters())
    for name, weight in policy.model.named_parameters():
        assert torch.equal(weight, theirs[name]), name


def test_items_are_found_by_name_and_new_ones_keep_fresh_vectors(tmp_path):
    old_ids, ids = [f"i{i}" for i in range(6)], ["new", "i5", "i0", "other"]
    earlier = _with_items(tiny_policy(seed=1), 6, seed=3)
    earlier.save(tmp_path / "old")
    policy = _with_items(tiny_policy(seed=2), 4, seed=4)
    fresh = policy.items.ids.weight.detach().clone()
    start = WarmStart(tmp_path / "old", tmp_path / "old", _catalogue(tmp_path / "old.parquet", old_ids))
    share = load_weights(policy, start, _catalogue(tmp_path / "new.parquet", ids))
    now, then = policy.items.ids.weight.detach(), earlier.items.ids.weight.detach()
    assert torch.equal(now[[0, 3]], fresh[[0, 3]])
    assert torch.equal(now[[1, 2]], then[[5, 0]])
    assert 0.5 < share < 1
    np.testing.assert_array_equal(policy.items.codes.numpy(), SIDS[:4])


def test_prefixes_that_both_catalogues_have_keep_their_vectors(tmp_path):
    sids = {name: np.array(rows, dtype=np.int32) for name, rows in _CATALOGUES.items()}
    policies = {}
    for seed, (name, table) in enumerate(sids.items()):
        torch.manual_seed(seed)
        policies[name] = tiny_policy(seed=seed)
        items = ItemVectors(table, policies[name].vocab.num_codes, 16, None, ids=False, nodes=True)
        policies[name].use_items(items, "item_tokens", output={"name": "prefixes", "options": {}})
    before = policies["new"].items.nodes.weight.detach().clone()
    policies["old"].save(tmp_path / "old")
    old = _catalogue(tmp_path / "old.parquet", ["a", "b", "c"])
    new = _catalogue(tmp_path / "new.parquet", ["a", "b", "d", "c"])
    load_weights(policies["new"], WarmStart(tmp_path / "old", tmp_path / "old", old), new)
    now, then = (policies[name].items.nodes.weight.detach() for name in ("new", "old"))
    # Rows are prefixes in order: old (0) (2) (0 1) (2 0); new (0) (1) (2) (0 1) (1 1) (2 0) (2 1).
    assert torch.equal(now[[0, 2, 3, 5]], then)
    assert torch.equal(now[[1, 4, 6]], before[[1, 4, 6]])


_CATALOGUES = {
    "old": [[0, 1, 0], [0, 1, 2], [2, 0, 0]],
    "new": [[0, 1, 0], [2, 0, 0], [1, 1, 1], [2, 1, 0]],
}


@pytest.mark.parametrize("mode", ["lora", "ptuning_v2"])
def test_an_adapter_goes_on_from_the_adapter_in_service(tmp_path, mode):
    lm_tiny.tiny_policy().save(tmp_path / "base")
    earlier, policy = (attach(tmp_path / "base", mode) for _ in range(2))
    perturb(earlier)
    earlier.save(tmp_path / "old", kind="sft")
    catalogue = _catalogue(tmp_path / "c.parquet", ["a"])
    assert load_weights(policy, WarmStart(tmp_path / "old", tmp_path / "base", catalogue), catalogue) == 1.0
    theirs = earlier.trainable_parameters()
    assert theirs
    for name, weight in policy.trainable_parameters().items():
        assert torch.equal(weight, theirs[name]), name


def test_a_model_of_which_nothing_fits_is_refused(tmp_path):
    lm_tiny.tiny_policy().save(tmp_path / "old")
    catalogue = _catalogue(tmp_path / "c.parquet", ["a"])
    wide = lm_tiny.tiny_policy()
    for parameter in wide.model.parameters():
        parameter.data = torch.zeros(*parameter.shape, 2)
    with pytest.raises(DataError, match="no weight fits the model"):
        load_weights(wide, WarmStart(tmp_path / "old", tmp_path / "old", catalogue), catalogue)
