"""On what an artifact was made: recorded beside it, part of neither key nor digest, and compared in words."""

import json

import pytest

from genrec.store.local import MANIFEST, Store
from genrec.store.origin import NOT_RECORDED, describe, differences, hardware, versions

COMMIT = {"version": 1, "config_slice": {}, "inputs": {}, "summary": {}, "seconds": 1.0}
HERE = {"cpu": "c", "device": "cpu", "versions": {"torch": "2.13.0", "numpy": "2.4.0"}}
MADE = {"threads": 2, "processes": [{**HERE, "threads": 2}]}


def test_the_manifest_says_on_what_and_the_digest_does_not_depend_on_it(tmp_path):
    digests = set()
    for n, made_on in enumerate((MADE, {})):
        store = Store(tmp_path / str(n))
        with store.scratch() as out:
            (out / "a.txt").write_text("x")
            artifact = store.commit("sid-1", "sid", out, **COMMIT, made_on=made_on)
        assert json.loads((artifact.path / MANIFEST).read_text())["made_on"] == made_on
        digests.add(artifact.digest)
    assert len(digests) == 1


def test_a_process_describes_itself():
    made = describe(3)
    assert made["threads"] == 3
    assert made["cpu"]
    assert {"python", "torch", "transformers", "numpy"} <= made["versions"].keys()
    assert made["versions"] == versions()


def test_the_device_is_the_gpu_that_the_driver_lists_unless_it_is_hidden(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("NVIDIA_VISIBLE_DEVICES", raising=False)
    assert hardware(tmp_path)["device"] == "cpu"
    for n in range(2):
        folder = tmp_path / "driver" / "nvidia" / "gpus" / str(n)
        folder.mkdir(parents=True)
        (folder / "information").write_text("Model: \t\t NVIDIA H100\nIRQ: 1\n")
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: Fast CPU\n")
    assert hardware(tmp_path) == {"cpu": "Fast CPU", "device": "NVIDIA H100"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert hardware(tmp_path)["device"] == "cpu"


@pytest.mark.parametrize(
    ("made_on", "here", "threads", "expected"),
    [
        (MADE, HERE, 2, []),
        (MADE, {"versions": HERE["versions"]}, 2, []),
        ({}, HERE, 2, [NOT_RECORDED]),
        (MADE, HERE, 4, ["threads 2 (here 4)"]),
        (MADE, {**HERE, "device": "NVIDIA H100"}, 2, ["device cpu (here NVIDIA H100)"]),
        (MADE, {**HERE, "versions": {"torch": "2.12.0", "numpy": "2.4.0"}}, 2, ["torch 2.13.0 (here 2.12.0)"]),
        (MADE, {**HERE, "versions": {"torch": "2.13.0"}}, 2, ["numpy 2.4.0 (here not there)"]),
        (
            {"threads": 2, "processes": [MADE["processes"][0], {**HERE, "threads": 1, "cpu": "d"}]},
            HERE,
            2,
            ["cpu d (here c)"],
        ),
    ],
)
def test_what_differs_is_said_in_words_once(made_on, here, threads, expected):
    assert differences(made_on, threads, here) == expected
