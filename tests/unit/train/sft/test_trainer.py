import numpy as np
import pytest
import torch

from genrec import tables
from genrec.config import SftConfig
from genrec.embed.vectors import write_item_vectors
from genrec.errors import DataError, TrainingError
from genrec.model.item_head import ItemVectors
from genrec.model.policy import Policy
from genrec.train.sft.train import train_sft
from genrec.train.sft.trainer import Trainer
from genrec.train.sft.windows import make_windows
from tests.bench.bench_training import one_row_a_target
from tests.support.rl_tiny import (
    MAX_HISTORY,
    NUM_CODES,
    NUM_ITEMS,
    SIDS,
    VOCAB,
    tiny_policy,
    tiny_trie,
    write_prepared,
    write_sids,
)

CONFIG = SftConfig(
    view={"name": "sid_tokens"},
    dense_head={"loss_weight": 0.0},
    item_vectors={"ids": False},
    reverse_share=0.0,
    epochs=3,
    batch_size=8,
    micro_batch_size=3,
    dropout=0.2,
    learning_rate=0.01,
    max_valid_users=16,
    checkpoint_every_s=0,
)
CYCLES = [[(start + k) % NUM_ITEMS for k in range(length)] for start in range(NUM_ITEMS) for length in (3, 8)]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in one order: what "the same bits" is promised for
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def files(tmp_path):
    valid = [([i, (i + 1) % NUM_ITEMS], (i + 2) % NUM_ITEMS) for i in range(NUM_ITEMS)]
    write_prepared(tmp_path / "prepared", CYCLES, valid)
    tiny_policy().save(tmp_path / "base")
    write_sids(tmp_path / "sids.parquet")
    return tmp_path


def train(files, config=CONFIG, name="out", work="work", **options):
    options = {"max_history": MAX_HISTORY, "seed": 0, **options}
    return train_sft(
        files / "prepared",
        files / "sids.parquet",
        files / "base",
        config,
        work=files / work,
        out=files / name,
        **options,
    )


def make_trainer(config=CONFIG) -> Trainer:
    items = np.concatenate(CYCLES)
    offsets = np.concatenate([[0], np.cumsum([len(c) for c in CYCLES])])
    return Trainer(tiny_policy(), make_windows(items, offsets, MAX_HISTORY), SIDS, config, seed=0)


def test_accumulated_gradients_are_those_of_the_whole_batch():
    whole, parts = (
        make_trainer(CONFIG.model_copy(update={"dropout": 0.0, "micro_batch_size": size})) for size in (1000, 2)
    )
    rows = np.arange(20)
    loss = [trainer.accumulate(rows) for trainer in (whole, parts)]
    torch.testing.assert_close(*loss)
    for name, parameter in whole.parameters.items():
        torch.testing.assert_close(parts.parameters[name].grad, parameter.grad, atol=1e-6, rtol=1e-4)
    codes = torch.from_numpy(SIDS[CYCLES[0]]).long()[None]  # and one window by hand
    whole.optimizer.zero_grad()
    alone = whole.accumulate(np.array([0]))
    expected = whole.policy.sequence_logits(codes).log_softmax(-1).gather(-1, codes[..., None])[..., 0].mean(1)[0]
    torch.testing.assert_close(alone, -expected.detach())


def test_it_learns_which_item_follows(files):
    summary = train(files, CONFIG.model_copy(update={"epochs": 15, "dropout": 0.0, "micro_batch_size": 8}))
    assert summary["valid_hr@10"] == 1.0
    assert summary["valid_ndcg@10"] > 0.95
    assert summary["targets"] == sum(map(len, CYCLES))
    policy = Policy.load(files / "out")
    assert policy.meta["kind"] == "sft"
    assert policy.max_history == MAX_HISTORY


def test_a_killed_run_goes_on_to_the_same_bits(files, monkeypatch):
    monkeypatch.setattr("genrec.train.sft.trainer._CheckpointClock.is_due", lambda self: True)  # after every step
    whole = train(files, name="whole", work="work_whole")
    for kill_at in (5, 17):  # in the middle of two epochs

        def stop(done, total, note="", /, kill_at=kill_at, **values):
            if done == kill_at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(files, name="resumed", progress=stop)
    resumed_from = []
    resumed = train(files, name="resumed", progress=lambda done, *_, **__: resumed_from.append(done))
    assert resumed_from[0] == 17  # the checkpoint of step 16, in the middle of the second epoch
    assert resumed == whole
    for file in sorted((files / "whole").iterdir()):
        assert file.read_bytes() == (files / "resumed" / file.name).read_bytes(), file.name


def test_the_8_bit_optimizer_trains_and_resumes_to_the_same_bits(files, monkeypatch):
    monkeypatch.setattr("genrec.train.sft.trainer._CheckpointClock.is_due", lambda self: True)

    def run(name, **more):
        config = CONFIG.model_copy(update={"optimizer": "paged_adamw_8bit", "epochs": 3})
        return train(files, config, name=name, work=f"work_{name}", **more)

    whole = run("whole8")

    def stop(done, total, note="", /, **values):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("resumed8", progress=stop)
    assert run("resumed8") == whole
    assert (files / "whole8/model.safetensors").read_bytes() == (files / "resumed8/model.safetensors").read_bytes()


def test_a_finished_run_is_not_trained_again(files):
    first = train(files)
    steps = []
    assert train(files, name="again", progress=lambda done, *_, **__: steps.append(done)) == first
    assert not steps
    assert (files / "again" / "model.safetensors").read_bytes() == (files / "out" / "model.safetensors").read_bytes()


def test_the_log_follows_training(files):
    summary = train(files)
    log = tables.read_table(files / "out" / "training_log.parquet", tables.TRAINING_LOG).to_pylist()
    figures = {name: [row for row in log if row["name"] == name] for name in {row["name"] for row in log}}
    assert {"loss", "loss_level_0", "learning_rate", "valid_ndcg@10", "valid_hr@10"} <= set(figures)
    assert [row["epoch"] for row in figures["valid_ndcg@10"]] == [1.0, 2.0, 3.0]
    assert figures["loss"][-1]["step"] == summary["steps"] == 3 * -(-summary["windows"] // 8)
    assert figures["loss"][-1]["value"] < figures["loss"][0]["value"]
    best = max(figures["valid_ndcg@10"], key=lambda row: row["value"])
    assert best["value"] == summary["valid_ndcg@10"]
    assert best["epoch"] == summary["best_epoch"]


def test_a_non_finite_gradient_stops_before_the_weights_change():
    trainer = make_trainer()
    name, parameter = next(iter(trainer.parameters.items()))
    with torch.no_grad():
        parameter[0] = torch.inf  # the row of BOS
    before = {n: p.detach().clone() for n, p in trainer.parameters.items()}
    trainer.state.step, trainer.state.epoch, trainer.state.batch = 12, 1, 3
    with pytest.raises(TrainingError, match=r"sft: loss nan.* at step 12 \(epoch 1, batch 3\)"):
        trainer.step(np.arange(4), 0.1)
    assert all(torch.equal(p, before[n]) for n, p in trainer.parameters.items()), name


@pytest.mark.parametrize("mode", ["lora", "qlora"])
def test_adapters_train_and_reload(files, mode):
    config = CONFIG.model_copy(
        update={"adapter": mode, "epochs": 3, "lora_rank": 4, "lora_alpha": 8, "micro_batch_size": 8}
    )
    summary = train(files, config)
    assert 0 < summary["trainable_share"] < 1
    assert not (files / "out" / "model.safetensors").exists()
    log = tables.read_table(files / "out" / "training_log.parquet").to_pylist()
    losses = [row["value"] for row in log if row["name"] == "loss"]
    assert losses[-1] < 0.9 * losses[0]
    assert Policy.load(files / "out", files / "base").has_adapter


def test_bf16_and_recomputation_train_as_well(files):
    config = CONFIG.model_copy(update={"precision": "bf16", "gradient_checkpointing": True, "micro_batch_size": 8})
    train(files, config)
    log = tables.read_table(files / "out" / "training_log.parquet").to_pylist()
    losses = [row["value"] for row in log if row["name"] == "loss"]
    assert losses[-1] < 0.9 * losses[0]


def test_recomputation_changes_no_gradient():
    config = CONFIG.model_copy(update={"dropout": 0.0})
    trainers = [make_trainer(config.model_copy(update={"gradient_checkpointing": flag})) for flag in (False, True)]
    for trainer in trainers:
        trainer.policy.model.train()
        trainer.accumulate(np.arange(6))
    for a, b in zip(*(t.parameters.values() for t in trainers), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_no_sequences_is_a_clear_error(files):
    write_prepared(files / "prepared", [], [([0], 1)])
    with pytest.raises(DataError, match="no training sequences"):
        train(files)


def test_without_validation_rows_the_last_weights_are_kept(files):
    write_prepared(files / "prepared", CYCLES, [])
    summary = train(files)
    assert summary["epochs"] == 3
    assert summary["valid_ndcg@10"] is None


def test_a_target_that_counts_double_pulls_twice_as_hard(monkeypatch):
    config = CONFIG.model_copy(update={"dropout": 0.0})
    weights = np.ones(NUM_ITEMS, np.float32)
    weights[5] = 2.0
    monkeypatch.setattr("genrec.train.sft.samplers.uniform.target_weights", lambda counts, options: weights)
    trainer = make_trainer(config)
    rows = np.arange(12)
    weighted = trainer.accumulate(rows)
    items, targets = (torch.from_numpy(a) for a in trainer.windows.gather(rows))
    losses = trainer._losses(items, targets).detach()
    share = torch.from_numpy(weights)[items[targets]]
    torch.testing.assert_close(weighted, (losses * share[:, None]).sum(0) / share.sum())


def test_hard_examples_are_read_again_in_the_same_epoch_and_a_resumed_run_reads_the_same(files, monkeypatch):
    monkeypatch.setattr("genrec.train.sft.trainer._CheckpointClock.is_due", lambda self: True)
    config = SftConfig(**{**CONFIG.model_dump(), "sampler": "hard_examples", "epochs": 2})
    seen = []
    accumulate = Trainer.accumulate
    monkeypatch.setattr(
        Trainer, "accumulate", lambda self, rows, *a: (seen.append(rows), accumulate(self, rows, *a))[1]
    )
    whole = train(files, config, name="whole", work="work_whole")
    num_windows, num_first = whole["windows"], -(-whole["windows"] // 8)
    per_epoch = whole["steps"] // 2
    first, second = (np.concatenate(part) for part in (seen[:num_first], seen[num_first:per_epoch]))
    assert sorted(first) == list(range(num_windows))
    assert len(second) == num_windows * 3 // 10
    assert set(second) < set(first)

    def stop(done, *_, **__):
        if done == per_epoch - 1:  # in the middle of the second pass
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(files, config, name="resumed", progress=stop)
    assert train(files, config, name="resumed") == whole
    for file in sorted((files / "whole").iterdir()):
        assert file.read_bytes() == (files / "resumed" / file.name).read_bytes(), file.name


@pytest.mark.parametrize("adapter", ["full", "lora"])
def test_items_and_a_dense_head_learn_and_the_score_weight_is_the_best_on_validation(files, adapter):
    vectors = np.random.default_rng(0).normal(size=(NUM_ITEMS, 6)).astype(np.float32)
    write_item_vectors(vectors, files / "vectors.parquet")
    changes = {"view": "item_tokens", "dense_head": {"loss_weight": 1.0}, "reverse_share": 0.0, "adapter": adapter}
    changes |= {"epochs": 15, "dropout": 0.0, "micro_batch_size": 8, "lora_rank": 4, "lora_alpha": 8}
    summary = train(files, SftConfig(**{**CONFIG.model_dump(), **changes}), vectors=files / "vectors.parquet")
    by_weight, by_share = (
        summary["dense_head"][f"valid_ndcg@10_by_{name}"] for name in ("score_weight", "successor_share")
    )
    assert by_weight["1.0"] > 0.9
    assert by_weight["0.0"] > 0.9
    assert summary["valid_ndcg@10"] == max(by_share.values()) >= by_share["0.0"] == max(by_weight.values())
    policy = Policy.load(files / "out", files / "base")
    assert policy.dense_weight == summary["dense_head"]["score_weight"]
    assert policy.successor_share == summary["dense_head"]["successor_share"]
    prompts = policy.prompts([[4, 5]], SIDS)
    assert prompts.input_ids.tolist() == [[-1 - VOCAB.bos_token_id, 4, 5]]
    assert policy.beam_search(prompts, tiny_trie(), 3).items[0, 0] == 6


def test_text_without_vectors_is_a_clear_error(files):
    config = SftConfig(**{**CONFIG.model_dump(), "view": "item_tokens"})
    with pytest.raises(DataError, match=r"sft\.item_vectors\.text needs the vectors"):
        train(files, config)


def test_the_average_is_validated_kept_and_resumed(files, monkeypatch):
    monkeypatch.setattr("genrec.train.sft.trainer._CheckpointClock.is_due", lambda self: True)
    config = CONFIG.model_copy(update={"ema_decay": 0.9, "item_dropout": 0.2, "reverse_share": 0.3})
    whole = train(files, config, name="whole", work="work_whole")

    def stop(done, *_, **__):
        if done == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(files, config, name="resumed", progress=stop)
    assert train(files, config, name="resumed") == whole
    for file in sorted((files / "whole").iterdir()):
        assert file.read_bytes() == (files / "resumed" / file.name).read_bytes(), file.name


@pytest.mark.parametrize("view", ["sid_tokens", "item_tokens"])
def test_one_pass_per_user_gives_the_gradients_of_a_row_per_target(view):
    config = SftConfig(**{**CONFIG.model_dump(), "dropout": 0.0, "micro_batch_size": 8, "view": view})
    found = []
    for windows in (make_trainer().windows, one_row_a_target(make_trainer().windows)):
        policy = tiny_policy()
        torch.manual_seed(0)
        policy.use_items(ItemVectors(SIDS, NUM_CODES, 16, None, ids=True), view)
        trainer = Trainer(policy, windows, SIDS, config, seed=0)
        loss = trainer.accumulate(np.arange(len(windows)))
        found.append((loss, {name: p.grad for name, p in trainer.parameters.items() if p.grad is not None}))
    torch.testing.assert_close(found[0][0], found[1][0])
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(found[1][1][name], gradient, atol=1e-5, rtol=1e-3)
