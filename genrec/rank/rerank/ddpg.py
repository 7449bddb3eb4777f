"""Weights of the aims by customer: a policy trained by DDPG that reads the customer and the list.

Lillicrap et al., "Continuous control with deep reinforcement learning" (ICLR 2016), from stable-baselines3. The state is
what is known of the user and of the list, the action the weights of the aims, the reward what the list so sorted brings
over the list as it came, in shares of the mean: the wanted figures by importance, and NDCG by `ndcg_weight`. An episode is
one list: the next state does not depend on the weights, so that the critic learns the reward itself. What customers do
is the outcome of the lists: events that were logged, or the customer of the synthetic shop
(`genrec.rank.rerank.parts.simulated`). Weights are then shrunk until NDCG holds its bound on lists that training did not
see: a policy can learn its users by heart.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrec.rank.rerank.parts import aims
from genrec.rank.rerank.parts.fused import by_weights, weights_of
from genrec.rank.rerank.parts.goal import Aim, Goal, figures_wanted
from genrec.rank.rerank.parts.lists import Ints, Lists, Reordered
from genrec.rank.rerank.parts.policy import Inputs, Policy
from genrec.rank.rerank.parts.rewards import ListFigures, shrunk
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """DDPG."""

    aims: dict[Aim, float] = setting({"purchase": 1.0}, "As those of fusion.")  # noqa: RUF009 (a field)
    max_ndcg_loss: float = setting(0.01, "Share of NDCG on validation that the gain may cost.", ge=0, lt=1)
    ndcg_weight: float = setting(1.0, "What a share of NDCG is worth in the reward.", ge=0)
    bound: float = setting(1.0, "Weights lie within -bound..bound; relevance has weight 1.", gt=0)
    lists: int = setting(60_000, "Lists that are sorted and rewarded in training.", ge=1)
    at_once: int = setting(32, "Lists of one step.", ge=1)
    updates: int = setting(2, "Updates of actor and critic after each step.", ge=1)
    learning_rate: float = setting(1e-3, "Of actor and critic.", gt=0)
    noise: float = setting(0.3, "Standard deviation of the exploration, of actions in -1..1.", ge=0)
    held_out: float = setting(
        0.3, "Share of the lists that training does not see: they decide how far the weights are shrunk.", gt=0, lt=1
    )
    hidden: int = setting(64, "Width of the two hidden layers of actor and critic.", ge=1)


def tune(lists: Lists, options: Config, k: int, seed: int) -> "Ddpg":
    """Train on validation lists. Raises GenrecError without stable-baselines3, ValueError for lists without an outcome."""
    names = aims.names_of(lists)
    figures = ListFigures(lists, names, figures_wanted(options.aims, names), k)
    before = figures.unchanged
    goal = Goal(options.aims, {name: float(np.mean(values)) for name, values in before.items()}, options.max_ndcg_loss)
    warnings = figures.warnings + Counter({f"nothing to gain in {name}": 1 for name in goal.without})
    learned, held = _parted(len(lists), options.held_out, seed)
    inputs = Inputs.of(lists.rows(learned))
    policy = Policy.unchanged(len(names) - 1, inputs)
    if goal.wanted and len(lists):
        from genrec.rank.rerank.parts.training import train

        policy = Policy(train(inputs(lists), learned, figures, goal, options, seed), inputs)
    ddpg = Ddpg(names, policy, options.bound)
    judges = lists.rows(held)
    ddpg.scale = shrunk(figures, goal, held, lambda scale: ddpg.with_scale(scale).weights(judges))
    ddpg.warnings = warnings
    return ddpg


def restore(state: dict[str, Any], options: Config) -> "Ddpg":
    """From `Ddpg.state`."""
    return Ddpg(tuple(state["names"]), Policy.restored(state["policy"]), options.bound, state["scale"])


class Ddpg:
    """A re-ranker."""

    def __init__(self, names: Sequence[str], policy: Policy, bound: float, scale: float = 1.0) -> None:
        """names: aims [A], relevance first. scale: what the weights are multiplied by; 0 leaves the lists as they are."""
        self.names, self.policy, self.bound, self.scale = tuple(names), policy, bound, scale
        self.warnings = Counter[str]()  # of the training

    def with_scale(self, scale: float) -> "Ddpg":
        """The same policy with its weights scaled."""
        return Ddpg(self.names, self.policy, self.bound, scale)

    def weights(self, lists: Lists) -> NDArray[np.float64]:
        """Of each list, float64 [U, A]: 1 for relevance, the policy's for the other aims."""
        return weights_of(self.policy(lists), self.bound * self.scale)

    def rerank(self, lists: Lists, k: int) -> Reordered:
        """Sort by the weighted sum; equal sums keep their order."""
        columns, warnings = aims.columns(lists, self.names)
        return by_weights(lists, columns, self.weights(lists), warnings)

    def state(self) -> dict[str, Any]:
        """Names, the actor's layers and the scale."""
        return {"names": list(self.names), "policy": self.policy.state(), "scale": self.scale}


def _parted(num_lists: int, held_out: float, seed: int) -> tuple[Ints, Ints]:
    """Numbers of the lists to learn from and of those held out, at least one of each where there are two."""
    order = np.random.default_rng(seed).permutation(num_lists)
    num_held = min(max(1, round(held_out * num_lists)), max(num_lists - 1, 0))
    return np.sort(order[num_held:]), np.sort(order[:num_held])
