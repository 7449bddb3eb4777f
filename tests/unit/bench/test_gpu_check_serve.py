"""The part `serve` of the GPU check, on a small shape on the CPU: the same code path."""

import json
from dataclasses import replace

import pytest
import torch

from tests.bench.gpu_check import serve
from tests.bench.gpu_check.models import SHAPES, random_catalogue, random_policy, random_prompts
from tests.bench.gpu_check.table import lines

CPU, SHAPE = torch.device("cpu"), replace(SHAPES["tiny"], profiles=True)


@pytest.fixture(scope="module")
def cases():
    found = []
    serve.run(SHAPE, CPU, found.append)
    return {case["case"]: case for case in found}


def test_batches_are_measured_with_and_without_the_adapter_and_beside_generate(cases):
    assert json.loads(json.dumps(cases)) == cases
    assert [name for name, case in cases.items() if "failed" in case] == []
    assert cases["profile, 1 together"]["profile"]["top"]
    for name in ("1 together", "4 together", "4 together, adapter beside", "2 together, generate"):
        assert cases[name]["requests_per_s"] > 0, name
    assert cases["2 together, generate"]["ratio"] > 0
    table = "\n".join(lines({"serve": {"failed": None, "seconds": 1.0, "cases": list(cases.values())}}))
    assert "requests/s" in table
    assert "times the time of ours" in table


def test_a_bound_on_keys_and_values_gives_the_same_lists(cases):
    assert cases["4 together, a quarter of the memory"]["same_items"] == 1.0


def test_generate_finds_items_of_the_catalogue_alone():
    policy, sids = random_policy(SHAPE, CPU, torch.float32, lora=False), random_catalogue(SHAPE)
    histories = random_prompts(SHAPE, 2).histories
    rows = serve._generate(policy, histories, sids)()
    found = {tuple(row) for row in rows[:, -3:].tolist()}
    assert len(rows) == 2 * serve.LIST_LENGTH
    assert found <= {tuple(row) for row in policy.vocab.token_ids(sids).tolist()}
