import pytest
import torch

from genrec.errors import DataError
from genrec.train import checkpoint


def test_tensors_and_state_come_back_as_they_were(tmp_path):
    tensors = {"a/b": torch.randn(3, 2).T, "step": torch.tensor(4.0), "bytes": torch.arange(5, dtype=torch.uint8)}
    checkpoint.save(tmp_path, tensors, {"step": 4, "rows": [[1, 0.5, "loss", 2.0]]})
    found, state = checkpoint.load(tmp_path)
    assert state == {"step": 4, "rows": [[1, 0.5, "loss", 2.0]]}
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)


def test_a_folder_without_a_checkpoint_gives_none(tmp_path):
    assert checkpoint.load(tmp_path) is None


def test_a_crash_while_saving_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, {"x": torch.zeros(2)}, {"step": 1})

    def crash(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("genrec.train.checkpoint.os.replace", crash)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path, {"x": torch.ones(2)}, {"step": 2})
    tensors, state = checkpoint.load(tmp_path)
    assert state == {"step": 1}
    assert not tensors["x"].any()


def test_a_damaged_file_is_named(tmp_path):
    checkpoint.save(tmp_path, {"x": torch.zeros(200)}, {})
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match=r"checkpoint\.safetensors: not a readable checkpoint"):
        checkpoint.load(tmp_path)


def test_an_optimizer_goes_on_as_if_nothing_happened(tmp_path):
    def start():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 1))
        decayed, plain = [m.weight for m in model], [m.bias for m in model]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
        return model, torch.optim.AdamW(groups, lr=0.1)

    def step(model, optimizer):
        torch.nn.functional.dropout(model(torch.ones(3, 4)), 0.5).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    model, optimizer = start()
    for _ in range(3):
        step(model, optimizer)
    parameters = dict(model.named_parameters())
    tensors = {f"optimizer/{k}": t for k, t in checkpoint.optimizer_tensors(optimizer, parameters).items()}
    tensors |= {f"random/{k}": t for k, t in checkpoint.random_tensors().items()}
    tensors |= {f"weights/{k}": t for k, t in parameters.items()}
    checkpoint.save(tmp_path, tensors, {})
    step(model, optimizer)

    again, other = start()
    tensors, _ = checkpoint.load(tmp_path)
    again.load_state_dict(checkpoint.subset(tensors, "weights/"))
    checkpoint.load_optimizer(other, dict(again.named_parameters()), checkpoint.subset(tensors, "optimizer/"))
    checkpoint.restore_random(checkpoint.subset(tensors, "random/"))
    step(again, other)
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_checkpoints_are_due_after_their_interval_and_take_a_tenth_of_the_time_at_most(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("genrec.train.checkpoint.time.monotonic", lambda: now[0])

    def save():
        now[0] += 3.0

    clock = checkpoint.CheckpointClock(every_s=20.0)
    assert not clock.is_due()
    now[0] += 20.0
    assert clock.is_due()
    clock.run(save)
    now[0] += 29.0
    assert not clock.is_due()
    now[0] += 1.0
    assert clock.is_due()
