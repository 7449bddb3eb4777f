import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft.tuners.trainable_tokens.layer import TrainableTokensLayer
from transformers import Qwen2Config, Qwen2ForCausalLM

from genrec.errors import ConfigError, DataError
from genrec.model import adapter, folder, prefix_tuning
from genrec.model.policy import Policy
from genrec.model.precision import recompute_activations
from genrec.model.trained_rows import TrainedRows
from genrec.model.vocab import SidVocabulary
from tests.support.lm_tiny import VOCAB, attach, perturb, random_sids, sequence_logits, tiny_policy
from tests.support.rl_runs import contents

MODES = ["lora", "qlora", "ptuning_v2", "ptuning_v2 projected"]
SIDS = random_sids(20, seed=0)
CODES = torch.from_numpy(SIDS[:6]).long().view(2, 3, 3)


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def base(request, tmp_path):
    out = tmp_path / "base"
    policy = tiny_policy(tied=request.param)
    policy.save(out)
    return out


def test_a_fresh_adapter_changes_nothing(base):
    torch.testing.assert_close(sequence_logits(attach(base), CODES), sequence_logits(Policy.load(base), CODES))


@pytest.mark.parametrize("mode", MODES)
def test_a_saved_adapter_gives_identical_logits(base, tmp_path, mode):
    policy = attach(base, mode)
    perturb(policy)
    policy.save(tmp_path / "a", kind="sft")
    policy.save(tmp_path / "b", kind="sft")
    loaded = Policy.load(tmp_path / "a", base)
    torch.testing.assert_close(sequence_logits(loaded, CODES), sequence_logits(policy, CODES), rtol=0, atol=0)
    assert folder.read_meta(tmp_path / "a")["kind"] == "sft"
    saved = contents(tmp_path / "a")
    assert saved == contents(tmp_path / "b")
    assert not any(str(tmp_path).encode() in file for file in saved.values())


def test_level_heads_use_the_rows_that_the_adapter_trains(base):
    policy = attach(base)
    perturb(policy)
    ids = torch.tensor([[0, *VOCAB.token_ids(SIDS[:2]).reshape(-1)]])
    full = policy.model(input_ids=ids).logits[0, 6, VOCAB.first_token_id : VOCAB.first_token_id + VOCAB.num_codes]
    torch.testing.assert_close(sequence_logits(policy, torch.from_numpy(SIDS[:3]).long()[None])[0, 2, 0], full)


def test_without_the_adapter_the_base_rows_are_back(base):
    policy = attach(base)
    perturb(policy)
    with policy.model.disable_adapter():
        torch.testing.assert_close(sequence_logits(policy, CODES), sequence_logits(Policy.load(base), CODES))


@pytest.mark.parametrize("mode", MODES)
def test_gradients_reach_the_adapter_and_semantic_id_rows_alone(base, mode):
    policy = attach(base, mode)
    perturb(policy)
    sequence_logits(policy, CODES).square().sum().backward()
    trained = {name for name, p in policy.model.named_parameters() if p.grad is not None and p.grad.any()}
    assert trained == set(policy.trainable_parameters())
    assert all(adapter.is_part(name) for name in trained)
    untied = not policy.causal_model.config.tie_word_embeddings
    assert sum("trainable_tokens_delta" in name for name in trained) == 1 + untied


def test_a_quantised_base_stores_four_bits_a_weight(base):
    policy = attach(base, "qlora")
    packed = [p for p in policy.model.parameters() if type(p).__name__ == "Params4bit"]
    assert len(packed) == 7 * 2  # every linear layer of two blocks, not the head
    plain = attach(base)
    assert adapter.trainable_share(policy.model) == pytest.approx(adapter.trainable_share(plain.model))


@pytest.mark.parametrize("mode", ["lora", "ptuning_v2"])
def test_an_adapter_without_its_base_says_so(base, tmp_path, mode):
    policy = attach(base, mode)
    policy.save(tmp_path / "sft")
    with pytest.raises(DataError, match=f"{mode} adapter; pass the folder of its base"):
        Policy.load(tmp_path / "sft")


def test_a_folder_without_genrec_json_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"genrec\.json"):
        Policy.load(tmp_path)


def test_weights_that_are_not_safetensors_are_refused(base):
    (base / "model.safetensors").rename(base / "pytorch_model.bin")
    with pytest.raises(DataError, match="only safetensors"):
        Policy.load(base)


@pytest.mark.parametrize("mode", MODES)
def test_an_adapter_can_be_trained_on(base, tmp_path, mode):
    attach(base, mode).save(tmp_path / "sft")
    assert not Policy.load(tmp_path / "sft", base).trainable_parameters()
    loaded = Policy.load(tmp_path / "sft", base, trainable=True)
    assert np.sum([p.numel() for p in loaded.trainable_parameters().values()]) > 0


@pytest.mark.parametrize("disabled", [False, True])
def test_trained_rows_are_read_in_place_with_the_values_and_gradients_of_pefts_own_layer(base, disabled):
    ours, theirs = (attach(base) for _ in range(2))
    for module in theirs.model.modules():
        if isinstance(module, TrainedRows):
            module.__class__ = TrainableTokensLayer
    found = []
    for policy in (ours, theirs):
        perturb(policy)
        with policy.model.disable_adapter() if disabled else contextlib.nullcontext():
            embedded = policy.body.get_input_embeddings()(torch.arange(VOCAB.end_token_id + 3).repeat(2, 1))
            logits = policy.causal_model.get_output_embeddings()(torch.linspace(-1, 1, 48).view(3, 16))
        if not disabled:
            loss = [(t * torch.linspace(-1, 1, t.numel()).view_as(t)).sum() for t in (embedded, logits)]
            sum(loss).backward()
        rows = {n: p.grad for n, p in policy.trainable_parameters().items() if "trainable_tokens" in n}
        found.append((embedded, logits, rows))
    assert any(isinstance(module, TrainedRows) for module in ours.model.modules())
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1:], found[1][1:])


def test_the_head_s_matrix_is_not_copied_for_the_rows_that_are_trained(base):
    policy = attach(base)
    head = policy.causal_model.get_output_embeddings()
    matrix = getattr(head, "token_adapter", head).get_base_layer().weight
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        head(torch.ones(2, 16, requires_grad=True))
    assert {t.data_ptr() for t in kept if t.numel() == matrix.numel()} == {matrix.data_ptr()}


@pytest.mark.parametrize("mode", ["lora", "ptuning_v2"])
def test_a_frozen_adapter_is_stored_as_its_base_and_a_trained_one_in_float32(base, tmp_path, mode):
    policy = attach(base, mode)
    policy.save(tmp_path / "a", kind="sft")
    frozen, trained = (
        Policy.load(tmp_path / "a", base, dtype=torch.bfloat16, trainable=trainable) for trainable in (False, True)
    )
    assert {p.dtype for p in frozen.model.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in trained.trainable_parameters().values()} == {torch.float32}


def test_bfloat16_forwards_cast_no_input_of_an_adapter_to_float32(base):
    policy = attach(base)
    policy.forward_dtype = torch.bfloat16
    seen = set()
    layer = policy.body.layers[0].mlp.down_proj.lora_A["default"]
    layer.register_forward_pre_hook(lambda _, inputs: seen.add(inputs[0].dtype))
    sequence_logits(policy, CODES)
    assert seen == {torch.bfloat16}


@pytest.mark.parametrize("mode", ["lora", "ptuning_v2", "ptuning_v2 projected"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_activations_that_are_computed_again_give_the_same_gradients(base, dtype, mode):
    found = []
    for again in (False, True):
        policy = attach(base, mode)
        perturb(policy)
        policy.forward_dtype = dtype
        if again:
            recompute_activations(policy.model, policy.precision)
        policy.model.train()
        sequence_logits(policy, CODES).square().mean().backward()
        found.append({name: p.grad for name, p in policy.trainable_parameters().items()})
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_an_adapter_goes_on_the_layers_that_are_named_and_on_no_others(base):
    def attached(targets):
        model = folder.load_causal_model(base, torch.device("cpu"), torch.float32)
        return adapter.attach(model, VOCAB, rank=4, alpha=8, dropout=0.0, seed=1, targets=targets)

    def adapted(model):
        names = {name.rpartition(".lora_A")[0] for name, _ in model.named_parameters() if ".lora_A." in name}
        return {name.rpartition(".")[2] for name in names}

    assert adapted(attached(["v_proj", "q_proj"])) == {"q_proj", "v_proj"}
    assert adapted(attached([])) == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    with pytest.raises(ConfigError, match=r"sft\.lora_targets: 'query' is no linear layer .* 'q_proj'"):
        attached(["query"])


def trained_of_3b(put_on: Callable[[Any, SidVocabulary], Any]) -> tuple[int, int]:
    """(trained, all) parameters of an adapter on Qwen2.5-3B with 3 x 256 semantic ids.

    Both are linear in the layers: counted on models of one and two of the 36, without weights.
    """
    vocab = SidVocabulary(num_levels=3, num_codes=256, first_token_id=151_936, bos_token_id=0, pad_token_id=1)
    counts = []
    for num_layers in (1, 2):
        with torch.device("meta"):
            base = Qwen2ForCausalLM(
                Qwen2Config(
                    vocab_size=vocab.end_token_id,
                    hidden_size=2048,
                    intermediate_size=11_008,
                    num_hidden_layers=num_layers,
                    num_attention_heads=16,
                    num_key_value_heads=2,
                    tie_word_embeddings=True,
                )
            )
        sizes = [(p.numel() * p.requires_grad, p.numel()) for p in put_on(base, vocab).parameters()]
        counts.append(np.sum(sizes, axis=0))
    trained, total = counts[0] + 35 * (counts[1] - counts[0])
    return int(trained), int(total)


def lora_of_3b(targets: list[str], rank: int) -> tuple[int, int]:
    settings = {"rank": rank, "alpha": 128, "dropout": 0.0, "seed": 0, "targets": targets}
    return trained_of_3b(lambda base, vocab: adapter.attach(base, vocab, **settings))


def prefix_of_3b(positions: int, projection: int | None) -> tuple[int, int]:
    settings = {"positions": positions, "projection": projection, "seed": 0}
    return trained_of_3b(lambda base, vocab: prefix_tuning.attach(base, vocab, **settings))


DOCS = (Path(__file__).parents[3] / "docs" / "recipes.md").read_text()


def test_the_docs_give_the_share_of_a_3b_model_that_each_choice_of_targets_trains():
    rows = re.findall(r"^\| `\[(.*?)\]`.*? \| ([\d.]+) million \| ([\d.]+)% \|$", DOCS, re.MULTILINE)
    assert len(rows) == 4
    for names, millions, share in rows:
        trained, total = lora_of_3b(names.split(", ") if names else [], 64)
        assert f"{trained / 1e6:.1f}" == millions, names
        assert f"{trained / total:.2%}" == f"{share}%", names
    trained, total = lora_of_3b([], 16)
    assert f"at rank 16 train {trained / total:.2%}" in DOCS


def test_the_docs_give_the_share_of_a_3b_model_that_a_prefix_trains():
    rows = re.findall(r"^\| (\d+) \| (none|\d+) \| ([\d.]+) million \| ([\d.]+)% \|$", DOCS, re.MULTILINE)
    assert len(rows) == 3
    for positions, width, millions, share in rows:
        trained, total = prefix_of_3b(int(positions), None if width == "none" else int(width))
        assert f"{trained / 1e6:.2f}" == millions, positions
        assert f"{trained / total:.2%}" == f"{share}%", positions
