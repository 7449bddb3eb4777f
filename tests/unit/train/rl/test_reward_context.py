import torch

from genrec.train.rl.reward_context import read_context
from tests.support.rl_tiny import NUM_ITEMS, write_prepared
from tests.support.rl_tiny import SIDS as TINY_SIDS


def test_facts_of_the_catalogue_are_read_by_item(tmp_path):
    prepared = write_prepared(tmp_path, [[0, 1, 1], [2, 0, 1]], [])
    context = read_context(prepared / "catalogue.parquet", TINY_SIDS, ("review",), torch.device("cpu"))
    assert context.train_counts.tolist() == [2, 3, 1] + [0] * (NUM_ITEMS - 3)
    assert context.categories is not None
    drills = torch.tensor([i for i in range(NUM_ITEMS) if i % 3 == 0])
    last = context.categories.gather(1, (context.categories >= 0).sum(1, keepdim=True) - 1)[:, 0]
    assert len(last[drills].unique()) == 1
    assert len(last.unique()) == 3
