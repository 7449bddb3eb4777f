"""Qwen2.5-3B's shape with random weights on the CPU: two layers at full width, all rows of its vocabulary, its tokenizer's sizes.

What only size shows: rows that no token has, a vocabulary padded for its products, 4-bit blocks of real layers, a head of
152,448 rows under alignment, memory.
"""

import gc

import numpy as np
import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from genrec.config import BaseConfig, RlConfig, SftConfig
from genrec.model import adapter, folder
from genrec.model.policy import Policy
from genrec.search.decode import beam_search
from genrec.search.trie import Trie
from genrec.train.base import build_base
from genrec.train.rl.groups import form_groups
from genrec.train.rl.learner import Learner
from genrec.train.rl.prompts import PromptSet
from genrec.train.rl.reward_context import RewardContext
from genrec.train.rl.rewarding import build_terms
from genrec.train.rl.rollout import RolloutWorker, load_policy
from genrec.train.sft.alignment import Alignment
from genrec.train.sft.train import load_policy as load_to_fine_tune
from genrec.train.sft.trainer import Trainer
from genrec.train.sft.windows import make_windows
from tests.bench.random_ids import random_ids
from tests.support.qwen_tokenizer import ROWS, TOKENS, qwen_tokenizer
from tests.support.rl_tiny import write_prepared, write_sids

pytestmark = pytest.mark.slow
NUM_ITEMS, LEVELS, CODES, MAX_HISTORY = 60, 3, 256, 5
PADDED = 152_448  # a multiple of 64 that has room for TOKENS + 3 * 256
SIDS = random_ids(NUM_ITEMS, LEVELS, CODES)
HISTORIES = [np.array([1, 2, 3]), np.array([4]), np.array([], dtype=np.int64)]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The folder of the base stage; beside it the ids."""
    files = tmp_path_factory.mktemp("3b")
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=ROWS,
        hidden_size=2048,
        intermediate_size=11_008,
        num_hidden_layers=2,
        num_attention_heads=16,
        num_key_value_heads=2,
        rope_theta=1_000_000.0,
        tie_word_embeddings=True,
        bos_token_id=TOKENS - 22,  # <|endoftext|>, the first token behind the words
    )
    with torch.device("meta"):
        model = Qwen2ForCausalLM(config).to(torch.bfloat16)
    model = model.to_empty(device="cpu")
    model.tie_weights()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0) if "norm" in name else weight.normal_(std=0.02)
    model.save_pretrained(files / "plain")
    qwen_tokenizer(full_size=True).save_pretrained(files / "plain")
    del model
    write_prepared(files / "prepared", [[0, 1]], [])
    catalogue = files / "prepared" / "catalogue.parquet"
    summary = build_base(BaseConfig(model=str(files / "plain")), LEVELS, CODES, catalogue, 0, files / "base")
    assert (summary["first_sid_token"], summary["vocabulary"]) == (TOKENS, PADDED)
    write_sids(files / "sids.parquet", SIDS)
    return files / "base"


@pytest.fixture(autouse=True)
def _give_back_memory():
    yield
    gc.collect()


def weights(policy: Policy) -> dict[str, torch.Tensor]:
    """The trained weights, and of each frozen one every 997th number."""
    return {
        name: p.detach().clone() if p.requires_grad else p.detach().flatten()[::997].clone()
        for name, p in policy.model.named_parameters()
    }


def assert_only_what_is_trained_moved(policy: Policy, before: dict[str, torch.Tensor]) -> None:
    trained = policy.trainable_parameters()
    for name, after in weights(policy).items():
        assert after.float().isfinite().all(), name
        # The A of a fresh LoRA gets no gradient while its B is zero.
        if "lora_A" not in name:
            assert torch.equal(after, before[name]) != (name in trained), name


def assert_real_items_come_out(policy: Policy) -> torch.Tensor:
    found = beam_search(policy, policy.prompts(HISTORIES, SIDS), Trie.from_sids(SIDS, CODES), 20)
    assert found.scores.isfinite().all()
    assert all(len(set(row)) == 20 for row in found.items.tolist())
    assert np.array_equal(found.sids, SIDS[found.items])
    return found.scores


def logits(policy: Policy) -> torch.Tensor:
    candidates = torch.from_numpy(SIDS[:4].astype(np.int64)).expand(len(HISTORIES), -1, -1)
    with policy.inference():
        return policy.candidate_logits(policy.prompts(HISTORIES, SIDS), candidates)[0]


@pytest.mark.parametrize("mode", ["lora", "qlora"])
def test_a_step_of_fine_tuning_then_one_of_grpo(base, tmp_path, mode):
    config = SftConfig(
        view={"name": "sid_tokens"},
        output="codes",
        dense_head={"loss_weight": 0.0},
        item_vectors={"ids": False, "text": False},
        alignment={"sid_to_title": 0.2, "title_to_sid": 0.1, "batch_size": 2},
        adapter=mode,
        optimizer="paged_adamw_8bit" if mode == "qlora" else "adamw",
        lora_rank=8,
        batch_size=2,
        dropout=0.0,
        reverse_share=0.0,
    )
    policy = load_to_fine_tune(base, config, MAX_HISTORY, 0, torch.device("cpu"))
    policy.use_items(None, **config.view.model_dump(), output=config.output.model_dump())
    assert policy.opening.tolist() == [TOKENS - 22]
    packed = [p for p in policy.model.parameters() if type(p).__name__ == "Params4bit"]
    assert len(packed) == (14 if mode == "qlora" else 0)
    titles = [f"beaker {i} <sid_0_{i}> <|im_end|>" for i in range(NUM_ITEMS)]
    alignment = Alignment(policy, folder.load_tokenizer(base), titles, titles, SIDS.astype(np.int64), config.alignment)
    windows = make_windows(np.arange(8), np.array([0, 4, 8]), MAX_HISTORY)
    trainer = Trainer(policy, windows, SIDS, config, 0, alignment)
    before = weights(policy)
    parts = trainer.step(np.arange(2), 1e-3)
    assert parts.isfinite().all()
    assert parts[:LEVELS].mean() == pytest.approx(np.log(CODES), rel=0.3)  # it knows nothing yet
    assert_only_what_is_trained_moved(policy, before)
    assert adapter.trainable_share(policy.model) < 0.02
    scores, shown = assert_real_items_come_out(policy), logits(policy)
    policy.save(tmp_path / "sft", kind="sft", adapter=mode)
    del policy, trainer, alignment, before
    gc.collect()
    grpo_step(tmp_path / "sft", base, scores, shown)


def grpo_step(sft, base, scores: torch.Tensor, shown: torch.Tensor) -> None:
    """One step on what was saved, which gives the numbers of what was trained."""
    config = RlConfig(group_size=4, prompts_per_step=2, micro_batch_size=2, empty_groups="repair", learning_rate=1e-3)
    policy, trie, table = load_policy(sft, base, base.parent / "sids.parquet", config, MAX_HISTORY)
    torch.testing.assert_close(logits(policy), shown, rtol=0, atol=0)
    torch.testing.assert_close(assert_real_items_come_out(policy), scores, rtol=0, atol=0)
    context = RewardContext(torch.from_numpy(table.astype(np.int64)), torch.ones(NUM_ITEMS, dtype=torch.long))
    learner = Learner(policy, config, build_terms(config.rewards), context)
    prompts = PromptSet(np.arange(2), HISTORIES[:2], np.array([7, 9]))
    rollout = RolloutWorker(policy, trie, table, config, 0).generate(0, prompts)
    assert np.array_equal(rollout.sids, table[rollout.items])
    before = weights(policy)
    groups = form_groups(torch.from_numpy(rollout.items), torch.from_numpy(prompts.target), config.empty_groups)
    figures = learner.update(0, prompts, groups)
    assert figures["updated_groups"] == 2
    assert all(np.isfinite(value) for value in figures.values())
    assert_only_what_is_trained_moved(policy, before)
    assert_real_items_come_out(policy)
