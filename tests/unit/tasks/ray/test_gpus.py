"""One GPU, one stage at a time: within a machine, over all runs of a store."""

import itertools
import multiprocessing
import re
import time
import types

import pytest
import torch

from genrec.config.load import load_config
from genrec.errors import GenrecError
from genrec.store.local import Store
from tasks.ray import gpus
from tasks.ray.gpus import devices, gpus_of_this_machine, wants_gpus
from tasks.ray.watch import Watcher, watching

GPU = load_config([], ["resources.sft.num_gpus=1", "resources.rollout.num_gpus=0.5", "resources.evaluate.num_gpus=1"])
CPU = load_config([], [])


def test_stages_that_ask_for_a_gpu_are_known_also_through_their_actors():
    wants = {stage: wants_gpus(GPU, stage) for stage in ("embed", "sft", "rl", "in_service")}
    assert wants == {"embed": False, "sft": True, "rl": True, "in_service": True}
    assert not wants_gpus(CPU, "sft")


@pytest.mark.parametrize(("visible", "expected"), [("1,0", ["0", "1"]), ("3", ["3"])])
def test_the_devices_are_those_that_are_visible(monkeypatch, visible, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices() == expected


def test_names_that_are_no_numbers_stand_for_every_device(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    everything = devices()
    assert everything
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8932f937")
    assert devices() == everything


def _stage(root, config, stage, ready, spans):
    store = Store(root)
    ready.wait()
    with gpus_of_this_machine(store, config, stage):
        began = time.monotonic()
        time.sleep(0.1)
        spans.put((began, time.monotonic()))


def _spans(root, monkeypatch, jobs, visible):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    context = multiprocessing.get_context("fork")
    ready, spans = context.Barrier(len(jobs)), context.Queue()
    processes = []
    for (config, stage), devices_ in zip(jobs, visible, strict=True):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices_)
        processes.append(context.Process(target=_stage, args=(root, config, stage, ready, spans)))
        processes[-1].start()
    found = sorted(spans.get(timeout=30) for _ in jobs)
    for process in processes:
        process.join(10)
    return found


def _apart(spans):
    return all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))


def test_two_runs_never_use_one_gpu_at_once(tmp_path, monkeypatch):
    assert _apart(_spans(tmp_path, monkeypatch, [(GPU, "sft"), (GPU, "rl"), (GPU, "in_service")], ["0", "0,1", "0"]))


def test_runs_with_a_gpu_each_and_runs_without_work_side_by_side(tmp_path, monkeypatch):
    assert not _apart(_spans(tmp_path, monkeypatch, [(GPU, "sft"), (GPU, "sft"), (CPU, "sft")], ["0", "1", "0"]))


def test_a_cluster_deals_out_its_gpus_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setattr(gpus, "devices", lambda: pytest.fail("a lock was taken"))
    with gpus_of_this_machine(Store(tmp_path), GPU, "sft"):
        pass


def test_a_run_that_waits_for_a_gpu_says_so(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    said = []

    class Listens(Watcher):
        def message(self, text):
            said.append(text)
            first.__exit__(None, None, None)  # the other run ends

    first = gpus_of_this_machine(Store(tmp_path), GPU, "rl")
    first.__enter__()
    with watching(Listens()), gpus_of_this_machine(Store(tmp_path), GPU, "sft"):
        assert said == ["sft: another run uses GPU 0; waiting for it"]


@pytest.mark.parametrize(("reserved", "present"), [(["0"], False), (["0"], True), ([], False)])
@pytest.mark.parametrize("cuda", ["13.0", None])
def test_a_reserved_gpu_that_torch_cannot_use_is_refused_with_torchs_build_and_the_driver(
    monkeypatch, reserved, present, cuda
):
    context = types.SimpleNamespace(get_accelerator_ids=lambda: {"GPU": reserved})
    monkeypatch.setattr("ray.get_runtime_context", lambda: context)
    monkeypatch.setattr("torch.cuda.is_available", lambda: present)
    monkeypatch.setattr("torch.version.cuda", cuda)
    if present or not reserved:
        gpus.check_reserved_gpu()
        return
    build = "built for CUDA 13.0" if cuda else "built for the CPU alone"
    with pytest.raises(GenrecError, match=rf"torch {re.escape(torch.__version__)} .* {build}, and .*EXTRA=gpu"):
        gpus.check_reserved_gpu()
