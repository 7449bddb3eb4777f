"""The plan of a small model beside what the CPU's allocator really gives out."""

import numpy as np
import pytest
import torch

from genrec.model.policy import Policy
from genrec.plan import steps
from genrec.plan.device import absent_gpu
from genrec.plan.memory import Memory
from genrec.search.attention import pack_heads
from genrec.search.trie import Trie
from genrec.train.rl.rewarding import build_terms
from genrec.train.sft.windows import make_windows
from tests.bench.gpu_check import settings
from tests.bench.gpu_check.models import NUM_CODES, Shape, random_catalogue, random_policy, random_prompts
from tests.support.allocated import Allocated

SHAPE = Shape(300, 64, 160, 3, 4, 2, num_items=600, history=8)
MICRO = 16


def packed_policy(device: torch.device, lora: bool) -> Policy:
    """With the attention that a GPU has, on the CPU too."""
    policy = random_policy(SHAPE, device, torch.float32, lora)
    pack_heads(policy.body)
    return policy


def sft(device: torch.device, counted: Memory, lora: bool, checkpointing: bool) -> None:
    prompts = random_prompts(SHAPE, 2 * MICRO)
    items = np.column_stack([np.stack(prompts.histories), prompts.target])
    windows = make_windows(items.ravel(), np.arange(len(items) + 1) * items.shape[1], SHAPE.history)
    policy = packed_policy(device, lora)
    config = settings.sft(micro_batch_size=MICRO, precision="fp32", gradient_checkpointing=checkpointing)
    made = steps.trainer(counted, policy, windows, random_catalogue(SHAPE), config)
    steps.train(counted, made, np.arange(len(windows)))


def grpo(device: torch.device, counted: Memory) -> None:
    config = settings.rl(micro_batch_size=MICRO, precision="fp32")
    policy, prompts = packed_policy(device, lora=True), random_prompts(SHAPE, 2 * MICRO)
    made = steps.learner(counted, policy, random_catalogue(SHAPE), config, build_terms(config.rewards), prompts)
    steps.update(counted, made, prompts)


def beam(device: torch.device, counted: Memory) -> None:
    policy, sids = packed_policy(device, lora=True), random_catalogue(SHAPE)
    histories = random_prompts(SHAPE, 2 * MICRO).histories
    steps.search(counted, policy, Trie.from_sids(sids, NUM_CODES, device), sids, histories, 20, MICRO)


def planned(work, *arguments) -> Memory:
    with absent_gpu("cpu") as device, Memory(steps.FUNCTIONS, round_up=False) as counted:
        work(device, counted, *arguments)
    return counted


@pytest.mark.parametrize(
    ("work", "arguments"),
    [
        (sft, (False, False)),
        (sft, (False, True)),
        (sft, (True, False)),
        (sft, (True, True)),
        (grpo, ()),
        (beam, ()),
    ],
    ids=["full", "full, checkpointing", "lora", "lora, checkpointing", "grpo", "beam"],
)
def test_the_plan_is_within_a_tenth_of_what_the_allocator_gives_out(work, arguments):
    taken = Allocated().peak_of(lambda counted: work(torch.device("cpu"), counted, *arguments))
    assert planned(work, *arguments).peak_bytes == pytest.approx(taken, rel=0.1)
