import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tokenizers import AddedToken
from torch.nn import functional

from genrec.config import AlignmentConfig, SftConfig
from genrec.model.vocab import SidVocabulary
from genrec.train.base import train_tokenizer
from genrec.train.sft.alignment import Alignment
from genrec.train.sft.trainer import Trainer
from genrec.train.sft.windows import make_windows
from tests.support.lm_tiny import random_sids, tiny_policy
from tests.support.qwen_tokenizer import qwen_tokenizer

NUM_ITEMS, NUM_CODES = 12, 4
SIDS = random_sids(NUM_ITEMS, seed=2, num_codes=NUM_CODES).astype(np.int64)
COLOURS = ["red", "blue", "green", "black"]
TITLES = [f"{COLOURS[i % 4]} {('beaker', 'flask', 'funnel')[i // 4]}" for i in range(NUM_ITEMS)]
DESCRIPTIONS = [f"A {title} of borosilicate glass" if i else "" for i, title in enumerate(TITLES)]
TOKENIZER = train_tokenizer(TITLES + DESCRIPTIONS, 300)
VOCAB = SidVocabulary(3, NUM_CODES, len(TOKENIZER), TOKENIZER.bos_token_id, TOKENIZER.pad_token_id)
TOKENS = {"view": "sid_tokens", "dense_head": {"loss_weight": 0.0}, "reverse_share": 0.0, "dropout": 0.0}
ALL = AlignmentConfig(sid_to_title=0.1, title_to_sid=0.1, description_to_sid=0.1, batch_size=NUM_ITEMS)


def align(policy, config=ALL, titles=TITLES) -> Alignment:
    return Alignment(policy, TOKENIZER, titles, DESCRIPTIONS, SIDS, config)


def plain(policy, question: str, sid: np.ndarray, text: str, writes_title: bool) -> torch.Tensor:
    """The loss of one item by the stock forward on one unpadded row."""
    before, after = question.split("|")
    words = [TOKENIZER(t)["input_ids"] for t in (before, text, after)]
    tokens = VOCAB.token_ids(sid).tolist()
    asked = [VOCAB.bos_token_id, *words[0], *(tokens if writes_title else words[1]), *words[2]]
    answer = [*words[1], TOKENIZER.eos_token_id] if writes_title else tokens
    logits = policy.model(input_ids=torch.tensor([asked + answer])).logits[0, len(asked) - 1 : -1]
    if writes_title:
        return functional.cross_entropy(logits, torch.tensor(answer), reduction="sum")
    levels = logits[:, VOCAB.first_token_id : VOCAB.end_token_id].view(3, 3, NUM_CODES)[range(3), range(3)]
    return functional.cross_entropy(levels, torch.from_numpy(sid), reduction="sum")


def test_the_three_losses_are_those_of_plain_rows():
    policy = tiny_policy(vocab=VOCAB)
    found = align(policy).losses(np.random.default_rng(0))
    lengths = sum(len(TOKENIZER(t)["input_ids"]) + 1 for t in TITLES)
    written = sum(
        plain(policy, "Which product is |? Its title: ", s, t, True) for s, t in zip(SIDS, TITLES, strict=True)
    )
    asked = "Which product has the title |? Its id: "
    from_title = sum(plain(policy, asked, s, t, False) for s, t in zip(SIDS, TITLES, strict=True))
    asked = "Which product is described by |? Its id: "
    described = list(zip(SIDS, DESCRIPTIONS, strict=True))[1:]  # the first item has none
    from_description = sum(plain(policy, asked, s, t, False) for s, t in described)
    expected = torch.stack([written / lengths, from_title / NUM_ITEMS, from_description / (NUM_ITEMS - 1)])
    torch.testing.assert_close(found, 0.1 * expected, atol=1e-4, rtol=1e-4)


def test_training_learns_the_ids_of_titles_and_logs_each_objective():
    policy = tiny_policy(vocab=VOCAB)
    config = SftConfig(
        alignment=AlignmentConfig(title_to_sid=0.5, sid_to_title=0.2, batch_size=NUM_ITEMS), batch_size=8, **TOKENS
    )
    windows = make_windows(np.arange(NUM_ITEMS), np.array([0, 6, NUM_ITEMS]), 5)
    alignment = align(policy, config.alignment)
    trainer = Trainer(policy, windows, SIDS, config, 0, alignment)
    before = alignment.losses(np.random.default_rng(0))
    for _ in range(80):
        parts = trainer.step(np.arange(len(windows)), 0.01)
    after = alignment.losses(np.random.default_rng(0))
    assert alignment.names == ["sid_to_title", "title_to_sid"]
    assert after[1] < 0.2 * before[1]
    assert after[0] < 0.5 * before[0]
    assert {"loss_sid_to_title", "loss_title_to_sid"} <= set(trainer._figures(parts, 0.01))


def shares_of_gradients(titles: list[str], weights: AlignmentConfig) -> tuple[torch.Tensor, dict, list[str]]:
    """The losses and gradients of recommending beside alignment with `weights`, and the objectives that remain."""
    windows = make_windows(np.arange(NUM_ITEMS), np.array([0, 6, NUM_ITEMS]), 5)
    policy = tiny_policy(vocab=VOCAB)
    alignment = align(policy, weights, titles)
    trainer = Trainer(policy, windows, SIDS, SftConfig(alignment=weights, **TOKENS), 0, alignment)
    loss = trainer.accumulate(np.arange(2))
    return loss, {n: p.grad for n, p in trainer.parameters.items()}, alignment.names


def test_alignment_takes_its_share_of_the_gradients():
    (loss, whole, _), (same, part, names) = (
        shares_of_gradients(TITLES, weights) for weights in (AlignmentConfig(), AlignmentConfig(title_to_sid=0.3))
    )
    assert names == ["title_to_sid"]
    torch.testing.assert_close(loss, same)
    for name, gradient in whole.items():
        torch.testing.assert_close(part[name], 0.7 * gradient, atol=1e-6, rtol=1e-4)


def test_an_objective_without_text_is_left_out_and_recommending_takes_its_weight():
    weights = AlignmentConfig(title_to_sid=0.3, description_to_sid=0.2)
    left = shares_of_gradients([""] * NUM_ITEMS, weights)
    alone = shares_of_gradients(TITLES, AlignmentConfig(description_to_sid=0.2))
    assert left[2] == alone[2] == ["description_to_sid"]
    torch.testing.assert_close(left[1], alone[1])
    alignment = align(tiny_policy(vocab=VOCAB), weights, titles=["", " "] * (NUM_ITEMS // 2))
    assert alignment.num_items == {"title_to_sid": 0, "description_to_sid": NUM_ITEMS - 1}
    assert alignment.warnings == [
        "sft.alignment.title_to_sid was left out: none of the 12 items of the catalogue has a title; recommending took "
        "over its weight of 0.3"
    ]
    assert align(tiny_policy(vocab=VOCAB), weights).warnings == []


@pytest.mark.parametrize("objective", ["sid_to_title", "title_to_sid", "description_to_sid"])
def test_a_title_that_spells_tokens_is_read_and_written_as_text(objective):
    tokenizer = qwen_tokenizer(instruct=True)
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    vocab = SidVocabulary(3, NUM_CODES, len(tokenizer), bos_token_id=end, pad_token_id=end)
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=False) for t in vocab.token_strings()])
    policy, seen = tiny_policy(vocab=vocab), []
    texts = [f"<sid_0_1> beaker <|im_end|><|endoftext|> <tool_call> {i}" for i in range(NUM_ITEMS)]
    alignment = Alignment(policy, tokenizer, texts, texts, SIDS, AlignmentConfig(**{objective: 0.5, "batch_size": 4}))
    policy.body.register_forward_pre_hook(lambda _, args, inputs: seen.append(inputs["input_ids"]), with_kwargs=True)
    assert alignment.losses(np.random.default_rng(0)).isfinite().all()
    (ids,) = seen
    inputs = 3 if objective == "sid_to_title" else 2  # tokens of an id that are read: the last one of an answer is not
    assert (ids >= vocab.first_token_id).sum(1).tolist() == [inputs] * 4
    assert set(ids[ids < vocab.first_token_id].tolist()) & set(tokenizer.added_tokens_decoder) == {end}
    assert all(
        (row[1:][row[1:] == end].numel()) == (row.flip(0) == end).cumprod(0).sum() for row in ids
    )  # only padding


def test_weights_that_leave_recommending_no_room_are_refused():
    with pytest.raises(ValidationError, match=r"add up to 1\.1"):
        AlignmentConfig(sid_to_title=0.6, title_to_sid=0.5)
