"""A catalogue of five items for worked examples of rewards."""

import torch

from genrec.train.rl.reward_context import RewardContext

SIDS = torch.tensor([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 0, 1]])
CONTEXT = RewardContext(sids=SIDS, train_counts=torch.tensor([5, 4, 3, 2, 1]))
# Items 0 and 1 are drills, 2 a saw, both tools; 3 is a rake; 4 has no category.
SHOP = CONTEXT._replace(categories=torch.tensor([[0, 1], [0, 1], [0, 2], [3, -1], [-1, -1]]))
