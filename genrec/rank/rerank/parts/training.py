"""DDPG over lists: the environment and the training of stable-baselines3, which is imported here alone."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from genrec.errors import GenrecError
from genrec.rank.rerank.parts.fused import weights_of
from genrec.rank.rerank.parts.goal import Goal
from genrec.rank.rerank.parts.lists import Floats, Ints
from genrec.rank.rerank.parts.policy import Layers
from genrec.rank.rerank.parts.rewards import ListFigures, rewards
from genrec.seeding import seeded

try:
    from gymnasium import spaces
    from stable_baselines3 import DDPG
    from stable_baselines3.common.noise import NormalActionNoise, VectorizedActionNoise
    from stable_baselines3.common.vec_env import VecEnv
except ImportError as error:
    raise GenrecError(
        "rank.rerank: ddpg needs stable-baselines3, which is not installed: pip install 'genrec[rerank]'"
    ) from error

BATCH = 256


class Options(Protocol):
    """The settings of `genrec.rank.rerank.ddpg.Config` that training reads."""

    @property
    def ndcg_weight(self) -> float: ...
    @property
    def bound(self) -> float: ...
    @property
    def lists(self) -> int: ...
    @property
    def at_once(self) -> int: ...
    @property
    def updates(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def noise(self) -> float: ...
    @property
    def hidden(self) -> int: ...


def train(state: Floats, rows: Ints, figures: ListFigures, goal: Goal, options: Options, seed: int) -> Layers:
    """The layers of the actor after `options.lists` lists. state: float32 [U, F]. rows: the lists to learn from."""
    environment = ListEnvironment(state, rows, figures, goal, options, seed)
    num_actions = figures.columns.shape[2] - 1
    noise = NormalActionNoise(np.zeros(num_actions), np.full(num_actions, options.noise))
    with _seeded_everywhere(seed):
        model = DDPG(
            "MlpPolicy",
            environment,
            learning_rate=options.learning_rate,
            buffer_size=options.lists,
            learning_starts=min(10 * options.at_once, options.lists // 4),
            batch_size=BATCH,
            gamma=0.0,  # an episode is one list
            train_freq=(1, "step"),
            gradient_steps=options.updates,
            action_noise=VectorizedActionNoise(noise, environment.num_envs),
            policy_kwargs={"net_arch": [options.hidden, options.hidden]},
            device="cpu",
            verbose=0,
        )
        model.learn(options.lists, progress_bar=False)
    layers = [module for module in model.actor.mu if isinstance(module, torch.nn.Linear)]
    return [(m.weight.detach().numpy().copy(), m.bias.detach().numpy().copy()) for m in layers]


class ListEnvironment(VecEnv):
    """`at_once` lists a step, drawn without replacement until all have come; each is an episode of its own."""

    def __init__(
        self, state: Floats, rows: Ints, figures: ListFigures, goal: Goal, options: Options, seed: int
    ) -> None:
        self._state, self._lists, self._figures, self._goal, self._settings = state, rows, figures, goal, options
        self._generator = np.random.default_rng(seed)
        self._waiting = np.empty(0, dtype=np.int64)
        observation = spaces.Box(-np.inf, np.inf, (state.shape[1],), np.float32)
        action = spaces.Box(-1.0, 1.0, (figures.columns.shape[2] - 1,), np.float32)
        action.seed(seed)  # the first actions are drawn from the space
        self.render_mode = None
        super().__init__(min(options.at_once, len(rows)), observation, action)

    def reset(self) -> Floats:
        """The states of the first lists."""
        self._rows = self._drawn()
        return self._state[self._rows]

    def step_async(self, actions: NDArray[np.float32]) -> None:
        """Keep the actions until `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[Floats, Floats, NDArray[np.bool_], list[dict[str, Any]]]:
        """Rewards of the lists under the actions, and the states of the next lists."""
        weights = weights_of(self._actions, self._settings.bound)
        reward = rewards(self._figures, self._goal, self._settings.ndcg_weight, self._rows, weights).astype(np.float32)
        ended = [{"terminal_observation": state} for state in self._state[self._rows]]
        self._rows = self._drawn()
        return self._state[self._rows], reward, np.ones(self.num_envs, dtype=bool), ended

    def _drawn(self) -> NDArray[np.int64]:
        if len(self._waiting) < self.num_envs:
            self._waiting = np.concatenate([self._waiting, self._generator.permutation(self._lists)])
        rows, self._waiting = self._waiting[: self.num_envs], self._waiting[self.num_envs :]
        return rows

    # ---- what the interface asks for beside ---------------------------------------------------------------------------

    def close(self) -> None:
        """Nothing is open."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute, once a list."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute."""
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Call a method, once a list."""
        return [getattr(self, method_name)(*args, **kwargs) for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """Nothing is wrapped."""
        return [False for _ in self._get_indices(indices)]


@contextlib.contextmanager
def _seeded_everywhere(seed: int) -> Iterator[None]:
    """Seed torch, numpy's global generator and `random`, all of which stable-baselines3 draws from; restored afterwards."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    try:
        with seeded(seed):
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
