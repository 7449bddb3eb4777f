"""Training that is killed at random, also while it saves a checkpoint, ends with the bytes of one that ran through."""

import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from genrec.train import checkpoint
from tests.support import rl_runs, sft_runs
from tests.support.promises.count import Count
from tests.support.promises.whole_run import Note, Started

MOMENTS = ("between two steps", "before a checkpoint is written", "half of it is written", "before it is renamed",
           "after it is renamed")  # fmt: skip
_STEPS = {"sft": 36, "grpo": 12, "ppo": 12}  # of a whole training, and at least as many checkpoints


def _train(root: Path, note: Note, trainer: str, name: str, moment: str | None, number: int, share: float) -> None:
    """Train in `root`/`name`, killed at a moment of step or checkpoint `number` (None: to the end)."""
    saved = 0

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def progress(done: int, *_: Any, **__: Any) -> None:
        if moment == MOMENTS[0] and done >= number:
            die()

    def write(work: Path, host: dict[str, Any], state: str) -> None:  # of sft in a thread, beside the next step
        nonlocal saved
        saved += 1
        if saved != number or moment is None or moment == MOMENTS[0]:
            return whole(work, host, state)
        if moment == MOMENTS[1]:
            die()
        if moment == MOMENTS[4]:
            whole(work, host, state)
            die()

        def replace(partial: Path, path: Path) -> None:
            if moment == MOMENTS[2]:
                os.truncate(partial, int(Path(partial).stat().st_size * share))
            die()

        with patch.object(checkpoint.os, "replace", replace):
            whole(work, host, state)

    whole = checkpoint._replace
    with (
        patch.object(checkpoint, "_replace", write),
        patch.object(checkpoint.CheckpointClock, "is_due", lambda self, writing_s=0.0: True),  # after every step
    ):
        if trainer == "sft":
            sft_runs.train(root, name=f"{name}/out", work=f"{name}/work", progress=progress)
        else:
            settings = rl_runs.PPO if trainer == "ppo" else {}
            rl_runs.run(_shop(root), root / name, rl_runs.make_config(**settings), progress=progress)


def _shop(root: Path) -> dict[str, Any]:
    return {
        "prepared": root / "prepared",
        "sids": root / "sids.parquet",
        "sft": root / "sft",
        "base": None,
        "max_history": rl_runs.MAX_HISTORY,
        "seed": 0,
    }


def _write_inputs(root: Path, note: Note, trainer: str) -> None:
    write: Callable[[Path], Any] = sft_runs.write_files if trainer == "sft" else rl_runs.write_shop
    write(root)


def killed_trainers(
    folder: Path, kills: int, seed: int = 0, trainers: tuple[str, ...] = ("sft", "grpo", "ppo")
) -> Count:
    """`kills` of each trainer; after every one the next process goes on, until the training is through."""
    count = Count(7, "SIGKILL of each trainer (sft, grpo, ppo) at random steps and while it saves a checkpoint")
    for trainer in trainers:
        root, rng = folder / trainer, random.Random(f"{trainer}{seed}")
        assert Started(root, _write_inputs, trainer).wait().code == 0
        assert Started(root, _train, trainer, "whole", None, 0, 0.0).wait().code == 0
        expected = _contents(root / "whole" / "out")
        killed = 0
        while killed < kills:
            moment = MOMENTS[killed % len(MOMENTS)]
            number = rng.randrange(2, _STEPS[trainer] - 1) if moment == MOMENTS[0] else rng.randrange(1, 6)
            with count.attempt(f"{trainer}, kill {killed}, seed {seed}: {moment}, number {number}", tries=0):
                process = Started(root, _train, trainer, "killed", moment, number, rng.random()).wait()
                died = process.code == -signal.SIGKILL
                assert died or process.code == 0, process.notes[-1:]
                killed, count.tried = killed + died, count.tried + died
                if not died or killed == kills:
                    if died:
                        assert Started(root, _train, trainer, "killed", None, 0, 0.0).wait().code == 0
                    assert _contents(root / "killed" / "out") == expected, "other bytes than of one that ran through"
                    shutil.rmtree(root / "killed")
    return count


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
