import os
import signal
import subprocess
import sys
import threading

import pytest
import torch

from genrec.train import checkpoint
from genrec.train.checkpoint_writer import CheckpointWriter

CPU = torch.device("cpu")


def test_training_may_change_the_weights_while_a_checkpoint_is_written(tmp_path, monkeypatch):
    weights, may_write = torch.arange(5.0), threading.Event()
    plain = checkpoint.save_file
    monkeypatch.setattr(checkpoint, "save_file", lambda *a, **more: (may_write.wait(), plain(*a, **more)))
    state = {"rows": [1]}
    with CheckpointWriter(CPU) as writer:
        checkpoint.save(tmp_path, {"w": weights}, state, writer=writer)
        assert writer.busy
        assert checkpoint.load(tmp_path) is None
        writer.before_update()
        weights.zero_()
        state["rows"].append(2)
        may_write.set()
    tensors, saved = checkpoint.load(tmp_path)
    assert tensors["w"].tolist() == [0, 1, 2, 3, 4]
    assert saved == {"rows": [1]}


def test_a_checkpoint_waits_for_the_one_before_and_the_last_one_stays(tmp_path):
    with CheckpointWriter(CPU) as writer:
        for value in range(5):
            checkpoint.save(tmp_path, {"w": torch.full((1000,), value)}, {"step": value}, writer=writer)
    assert checkpoint.load(tmp_path)[1] == {"step": 4}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]


def test_what_goes_wrong_in_writing_is_raised_once():
    def fail():
        raise OSError("no space left on device")

    writer = CheckpointWriter(CPU)
    writer.write(fail)
    with pytest.raises(OSError, match="no space"):
        writer.wait()
    writer.wait()


_ENDLESS = """
import sys, torch
from pathlib import Path
from genrec.train import checkpoint
from genrec.train.checkpoint_writer import CheckpointWriter
writer = CheckpointWriter(torch.device("cpu"))
for step in range(10**6):
    checkpoint.save(Path(sys.argv[1]), {"w": torch.full((100_000,), step)}, {"step": step}, writer=writer)
    print(step, flush=True)
"""


def test_what_ended_the_training_is_not_hidden_by_a_checkpoint_that_failed_after_it():
    def fail():
        raise OSError("No space left on device")

    def train():
        with CheckpointWriter(CPU) as writer:
            writer.write(fail)
            raise ArithmeticError("not finite")

    with pytest.raises(ArithmeticError, match="not finite") as caught:
        train()
    assert "No space left" in caught.value.__notes__[0]


def test_what_killed_attempts_left_half_written_goes_with_the_next_checkpoint(tmp_path):
    left = tmp_path / "checkpoint.safetensors.1234.partial"
    left.write_bytes(b"half")
    checkpoint.save(tmp_path, {"a": torch.ones(2)}, {})
    assert not left.exists()
    assert checkpoint.load(tmp_path) is not None


def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", _ENDLESS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    seen = [int(process.stdout.readline()) for _ in range(20)]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    tensors, state = checkpoint.load(tmp_path)
    assert state["step"] >= seen[-1] - 1
    assert (tensors["w"] == state["step"]).all()
