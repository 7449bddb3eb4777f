"""Who sees what: stable, as many as asked for, and independent between experiments."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.config import ExperimentConfig
from genrec.serve.experiment import Experiment

USERS = [f"user-{n}" for n in range(20_000)]


def of(name: str = "a", share: float = 0.5, **more: object) -> Experiment:
    return Experiment(name=name, candidate="latest", share=share, **more)  # type: ignore[arg-type]


@given(st.text(max_size=40), st.floats(0, 1))
def test_a_user_has_one_arm_and_keeps_it_when_the_share_grows(user, share):
    arm = of(share=share).assign(user)
    assert arm == of(share=share).assign(user)
    if arm == "candidate":
        assert of(share=min(1.0, share + 0.1)).assign(user) == "candidate"
    assert of(share=0).assign(user) == "control"
    assert of(share=1).assign(user) == "candidate"


def test_another_process_assigns_alike():
    code = "from genrec.serve.experiment import Experiment as E; print(repr(E('a', 'latest', .5).place('user-7')))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert float(said) == of().place("user-7")


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", ["a", "b"])
def test_the_share_holds(share, name):
    chosen = sum(of(name, share).assign(user) == "candidate" for user in USERS)
    assert abs(chosen - share * len(USERS)) < 5 * math.sqrt(share * (1 - share) * len(USERS))


@pytest.mark.parametrize("other", [of("b"), of("a", salt="again")])
def test_experiments_choose_independently(other):
    both = sum(of().assign(user) == other.assign(user) == "candidate" for user in USERS)
    assert abs(both - len(USERS) / 4) < 5 * math.sqrt(len(USERS) * 0.25 * 0.75)


def test_the_mode_says_what_the_chosen_users_see():
    assert {of(mode="interleave").assign(user) for user in USERS[:100]} == {"control", "interleaved"}


def test_an_experiment_is_made_of_its_settings():
    config = ExperimentConfig(name="new-loss", share=0.25, mode="interleave", window_hours=48)
    experiment = Experiment.of(config)
    assert experiment == Experiment.of(config.model_dump())
    assert experiment is not None
    assert config.model_dump() == {name: getattr(experiment, name) for name in ExperimentConfig.model_fields}
    assert Experiment.of(None) is None


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a b"])
def test_a_name_that_is_no_folder_is_refused(name):
    with pytest.raises(ValueError, match="letters, digits"):
        ExperimentConfig(name=name)
