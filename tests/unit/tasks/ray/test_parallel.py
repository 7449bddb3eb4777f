"""Ray Train starts the processes: the weights of one process come out, and errors come home as they were."""

import pytest
from safetensors.torch import load_file

from genrec.config import Config, StageResources
from genrec.errors import GenrecError, TrainingError
from genrec.train import checkpoint
from genrec.train.rl.train import train_rl
from genrec.train.sft.train import train_sft
from tasks.ray.made_on import notes
from tasks.ray.parallel import run_group, train
from tasks.ray.watch import Watcher, watching
from tests.support.rl_runs import make_config, run, write_shop
from tests.support.rl_tiny import MAX_HISTORY
from tests.support.sft_runs import CONFIG, distance, weights, write_files
from tests.support.sft_runs import train as train_alone

pytestmark = pytest.mark.slow

USE = StageResources(num_cpus=0.5)


@pytest.fixture
def shop(tmp_path):
    return write_shop(tmp_path)


@pytest.fixture
def files(tmp_path):
    return write_files(tmp_path)


class Heard(Watcher):
    """What a run is told of the log lines of its workers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def worker_log(self, stage: str, level: int, text: str) -> None:
        self.lines.append(text)


def fail(progress):
    """What every process does: one meets bad data, the others wait for it."""
    from genrec.train.learner_group import LearnerGroup

    group = LearnerGroup()
    if group.rank == 1:
        raise TrainingError("rl: step 3: the loss is nan")
    import torch

    group.sum_(torch.zeros(1))


def test_learners_in_a_ray_train_group_end_with_the_weights_of_one(ray_cluster, shop, tmp_path):
    config = make_config(num_steps=6, eval_every=2)
    alone = run(shop, tmp_path / "alone", config)
    call = {"config": config, **shop, "work": tmp_path / "work", "out": tmp_path / "both" / "out"}
    settings = Config.model_validate({"resources": {"rl": {"num_cpus": 0.5}}})
    heard = Heard()
    with watching(heard):
        both = train("rl", train_rl, call, 2, settings, tmp_path / "stage")
    assert {line.partition(" in process")[0] for line in heard.lines if line.startswith("learner")} == {
        "learner 0 started",
        "learner 1 started",
    }
    assert notes(tmp_path / "stage")
    assert both["last"] == pytest.approx(alone["last"], abs=1e-4)
    one, several = (checkpoint.load(folder)[0] for folder in (tmp_path / "alone" / "work", tmp_path / "work"))
    one, several = checkpoint.subset(one, "weights/"), checkpoint.subset(several, "weights/")
    assert distance(one, several) < 5e-4
    start = load_file(shop["sft"] / "model.safetensors")
    assert distance({name: one[name] for name in start}, start) > 1e-4


def test_divided_fine_tuning_in_a_ray_train_group_ends_with_the_weights_of_one(ray_cluster, files, tmp_path):
    config = CONFIG.model_copy(update={"dropout": 0.0, "epochs": 2, "sharding": "weights"})
    train_alone(files, config, name="alone/out", work="work_alone")
    call = {
        "prepared": files / "prepared",
        "sids": files / "sids.parquet",
        "base": files / "base",
        "config": config,
        "max_history": MAX_HISTORY,
        "seed": 0,
        "work": files / "work_both",
        "out": files / "both" / "out",
    }
    summary = run_group(train_sft, call, 2, USE, tmp_path / "group")
    assert summary["epochs"] == 2
    assert distance(weights(files / "alone"), weights(files / "both")) < 1e-4


def test_the_error_of_a_process_is_the_error_of_the_group(ray_cluster, tmp_path):
    with pytest.raises(GenrecError, match="rl: step 3: the loss is nan"):
        run_group(fail, {}, 2, USE, tmp_path / "group")
