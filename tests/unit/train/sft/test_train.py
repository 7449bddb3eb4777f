import numpy as np
import pytest
import torch

from genrec import tables
from genrec.config import SftConfig
from genrec.embed.vectors import write_item_vectors
from genrec.errors import ConfigError, DataError
from genrec.model import folder
from genrec.model.item_vectors import ItemVectors
from genrec.model.policy import Policy
from genrec.search.decode import beam_search
from genrec.train import checkpoint
from genrec.train.base import train_tokenizer
from genrec.train.sft.trainer import Trainer
from tests.support.rl_runs import contents
from tests.support.rl_tiny import (
    MAX_HISTORY,
    NUM_CODES,
    NUM_ITEMS,
    SIDS,
    VOCAB,
    tiny_trie,
    write_prepared,
)
from tests.support.sft_runs import CONFIG, CYCLES, VALID, train
from tests.support.targets import write_targets


def test_it_learns_which_item_follows(files):
    summary = train(files, CONFIG.model_copy(update={"epochs": 15, "dropout": 0.0, "micro_batch_size": 8}))
    assert summary["valid_hr@10"] == 1.0
    assert summary["valid_ndcg@10"] > 0.95
    assert summary["targets"] == sum(map(len, CYCLES))
    policy = Policy.load(files / "out")
    assert folder.read_meta(files / "out")["kind"] == "sft"
    assert policy.max_history == MAX_HISTORY


def test_a_catalogue_without_text_is_trained_on_without_alignment_and_a_warning_says_so(files):
    train_tokenizer(["plain words"], 300).save_pretrained(files / "base")
    weights = {"sid_to_title": 0.1, "description_to_sid": 0.2}
    plain, asked = (
        train(files, SftConfig(**{**CONFIG.model_dump(), "epochs": 1, "alignment": a}), name, work=name)
        for name, a in (("plain", {}), ("asked", weights))
    )
    assert asked.pop("alignment_items") == dict.fromkeys(weights, 0)
    assert [w.split(" was left out")[0] for w in asked.pop("warnings")] == [f"sft.alignment.{n}" for n in weights]
    assert asked == plain
    for file in sorted((files / "plain").iterdir()):
        assert file.read_bytes() == (files / "asked" / file.name).read_bytes(), file.name


@pytest.mark.parametrize(
    "adapter", [{}, {"adapter": "lora"}, {"adapter": "ptuning_v2", "prefix_tokens": 4, "prefix_projection": 6}]
)
def test_a_killed_run_goes_on_to_the_same_bits(files, monkeypatch, adapter):
    monkeypatch.setattr(
        "genrec.train.checkpoint.CheckpointClock.is_due", lambda self, writing_s=0.0: True
    )  # after every step, each one written before the next
    monkeypatch.setattr("genrec.train.checkpoint_writer.CheckpointWriter.busy", False)
    config = CONFIG.model_copy(update=adapter)
    whole = train(files, config, name="whole", work="work_whole")
    for kill_at in (5, 17):  # in the middle of two epochs

        def stop(done, total, note="", /, kill_at=kill_at, **values):
            if done == kill_at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(files, config, name="resumed", progress=stop)
    resumed_from = []
    resumed = train(files, config, name="resumed", progress=lambda done, *_, **__: resumed_from.append(done))
    assert resumed_from[0] == 17  # the checkpoint of step 16, in the middle of the second epoch
    assert resumed == whole
    assert contents(files / "whole") == contents(files / "resumed")


def test_the_8_bit_optimizer_trains_and_resumes_to_the_same_bits(files, monkeypatch):
    monkeypatch.setattr("genrec.train.checkpoint.CheckpointClock.is_due", lambda self, writing_s=0.0: True)

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


@pytest.mark.parametrize("mode", ["lora", "qlora", "ptuning_v2"])
def test_adapters_train_and_reload(files, mode):
    size = {"lora_rank": 4, "lora_alpha": 8, "prefix_tokens": 4}
    config = CONFIG.model_copy(update={"adapter": mode, "epochs": 3, "micro_batch_size": 8, **size})
    summary = train(files, config)
    assert 0 < summary["trainable_share"] < 1
    assert not (files / "out" / "model.safetensors").exists()
    log = tables.read_table(files / "out" / "training_log.parquet").to_pylist()
    losses = [row["value"] for row in log if row["name"] == "loss"]
    assert losses[-1] < 0.9 * losses[0]
    assert Policy.load(files / "out", files / "base").has_adapter


@pytest.mark.parametrize("adapter", ["full", "ptuning_v2"])
def test_bf16_and_recomputation_train_as_well(files, monkeypatch, adapter):
    monkeypatch.setattr("genrec.model.precision.computes_bf16", lambda device: True)  # a CPU may emulate it
    changes = {"precision": "bf16", "gradient_checkpointing": True, "micro_batch_size": 8, "adapter": adapter}
    config = CONFIG.model_copy(update=changes)
    train(files, config)
    log = tables.read_table(files / "out" / "training_log.parquet").to_pylist()
    losses = [row["value"] for row in log if row["name"] == "loss"]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("adapter", ["full", "lora"])
def test_bf16_on_a_device_that_only_emulates_it_is_refused_before_training(files, monkeypatch, adapter):
    monkeypatch.setattr("genrec.model.precision.computes_bf16", lambda device: False)
    with pytest.raises(ConfigError, match=r"set sft\.precision to fp32"):
        train(files, CONFIG.model_copy(update={"precision": "bf16", "adapter": adapter}))
    assert not (files / "out").exists()


def test_no_sequences_is_a_clear_error(files):
    write_prepared(files / "prepared", [], [([0], 1)])
    with pytest.raises(DataError, match="no training sequences"):
        train(files)


def test_without_validation_rows_the_last_weights_are_kept(files):
    write_prepared(files / "prepared", CYCLES, [])
    summary = train(files)
    assert summary["epochs"] == 3
    assert summary["valid_ndcg@10"] is None


def test_hard_examples_are_read_again_in_the_same_epoch_and_a_resumed_run_reads_the_same(files, monkeypatch):
    monkeypatch.setattr("genrec.train.checkpoint.CheckpointClock.is_due", lambda self, writing_s=0.0: True)
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
    changes |= {"output": "codes", "item_vectors": {"ids": False}}
    summary = train(files, SftConfig(**{**CONFIG.model_dump(), **changes}), vectors=files / "vectors.parquet")
    by_weight, by_share = (
        summary["dense_head"][f"valid_ndcg@10_by_{name}"] for name in ("score_weight", "successor_share")
    )
    assert by_weight["1.0"] > 0.9
    assert by_weight["0.0"] > 0.9
    assert summary["valid_ndcg@10"] == max(by_share.values()) >= by_share["0.0"] == max(by_weight.values())
    policy = Policy.load(files / "out", files / "base")
    assert policy.dense_weight == summary["dense_head"]["score_weight"]
    assert policy.transition_share == summary["dense_head"]["successor_share"]
    prompts = policy.prompts([[4, 5]], SIDS)
    assert prompts.input_ids.tolist() == [[-1 - VOCAB.bos_token_id, 4, 5]]
    assert beam_search(policy, prompts, tiny_trie(), 3).items[0, 0] == 6


def test_text_without_vectors_is_a_clear_error(files):
    config = SftConfig(**{**CONFIG.model_dump(), "view": "item_tokens", "item_vectors": {"text": True}})
    with pytest.raises(DataError, match=r"sft\.item_vectors\.text needs the vectors"):
        train(files, config)


def test_the_average_is_validated_kept_and_resumed(files, monkeypatch):
    monkeypatch.setattr("genrec.train.checkpoint.CheckpointClock.is_due", lambda self, writing_s=0.0: True)
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


ITEMS_AND_DENSE_HEAD = {"view": "item_tokens", "dense_head": {"loss_weight": 1.0}, "item_vectors": {"text": False}}


@pytest.mark.parametrize("changes", [{"ema_decay": 0.5}, ITEMS_AND_DENSE_HEAD], ids=["sid_tokens", "item_tokens"])
def test_validation_targets_choose_a_checkpoint_and_teach_nothing(files, changes):
    """Other validation targets, or none: the same weights after every epoch, only another choice among them."""
    config = SftConfig(**{**CONFIG.model_dump(), "patience": 100, **changes})
    rows = {"right": VALID, "wrong": [(h, (t + 5) % NUM_ITEMS) for h, t in VALID], "none": []}
    for name, valid in rows.items():
        write_targets(files / "prepared", valid=[(user, *row) for user, row in enumerate(valid)])
        train(files, config, name=f"{name}/out", work=f"work_{name}")
    figures = {name: read_log(files / name) for name in rows}
    assert {k: v for k, v in figures["right"].items() if k[1].startswith("valid")} != {
        k: v for k, v in figures["wrong"].items() if k[1].startswith("valid")
    }
    learned = {name: {k: v for k, v in f.items() if not k[1].startswith("valid")} for name, f in figures.items()}
    assert learned["right"] == learned["wrong"] == learned["none"]
    last = {name: checkpoint.subset(checkpoint.load(files / f"work_{name}")[0], "weights/") for name in rows}
    for name in ("wrong", "none"):
        assert all(torch.equal(weight, last["right"][key]) for key, weight in last[name].items())
    if "view" in changes:
        tables_ = [ItemVectors.load(files / name / "out", NUM_CODES).transitions.state_dict() for name in rows]
        assert all(torch.equal(t, tables_[0][key]) for table in tables_ for key, t in table.items())


def read_log(folder_):
    """(step, figure) -> value of the training log in `folder_`/out."""
    table = tables.read_table(folder_ / "out" / "training_log.parquet", tables.TRAINING_LOG).to_pylist()
    return {(row["step"], row["name"]): row["value"] for row in table}


def test_test_targets_change_no_byte(files):
    config = SftConfig(**{**CONFIG.model_dump(), **ITEMS_AND_DENSE_HEAD})
    summaries = []
    for name, shift in (("a", 1), ("b", 7)):
        valid = [(user, *row) for user, row in enumerate(VALID)]
        test = [(user, [*history, target], (target + shift) % NUM_ITEMS) for user, history, target in valid]
        write_targets(files / "prepared", valid=valid, test=test)
        summaries.append(train(files, config, name=f"{name}/out", work=f"work_{name}"))
    assert summaries[0] == summaries[1]
    assert contents(files / "a" / "out") == contents(files / "b" / "out")
