"""Ray tasks: their nice level, that a cancelled one has ended before its stage goes on, one Ray for all threads."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import ray

from genrec.config import EmbedConfig, ResourcesConfig, StageResources
from genrec.embed.encode import write_piece
from genrec.errors import GenrecError
from tasks.ray import cluster
from tasks.ray.cluster import run_tasks
from tasks.ray.environment import of_workers
from tasks.ray.made_on import notes

pytestmark = pytest.mark.timeout(300)
SMALL = StageResources(num_cpus=0.1)


def nice_level() -> int:
    return os.nice(0)


def test_tasks_run_at_the_nice_level_of_the_settings(ray_cluster, tmp_path):
    resources = ResourcesConfig(num_cpus=2)
    assert run_tasks("sid", nice_level, [{}], resources, tmp_path) == [resources.worker_niceness] == [0]

    environment = of_workers(ResourcesConfig(worker_niceness=7))
    task = ray.remote(nice_level).options(runtime_env={"env_vars": environment})
    assert ray.get(task.remote()) == 7


START_IN_A_THREAD = """
import threading, time, psutil
from genrec.config import ResourcesConfig
from tasks.ray.cluster import connect, disconnect

thread = threading.Thread(target=connect, args=(ResourcesConfig(num_cpus=1),))
thread.start()
thread.join()
time.sleep(1)
print("gcs_server" in {process.name() for process in psutil.Process().children()})
disconnect()
"""


@pytest.mark.slow
def test_ray_outlives_the_thread_that_needed_it_first():
    """A comparison's second recipe computes with the Ray that a stage of the first one started in its thread."""
    command = [sys.executable, "-c", START_IN_A_THREAD]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=200)
    assert done.stdout.split() == ["True"]


def visible_devices() -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_a_task_that_reserves_no_gpu_sees_none(ray_cluster, tmp_path):
    assert run_tasks("sid", visible_devices, [{}], ResourcesConfig(num_cpus=2), tmp_path, use=SMALL) == [""]


def fail_or_write(folder: Path, fails: bool) -> None:
    """One fails as soon as the other writes; that one makes its folder again whenever it is gone."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if fails and folder.exists():
            raise GenrecError("this shard is broken")
        if not fails:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "part").write_text("x")
        time.sleep(0.02)


def test_when_one_task_fails_the_others_have_ended_before_the_stage_does(ray_cluster, tmp_path):
    folder, work = tmp_path / "scratch", tmp_path / "work"
    calls = [{"folder": folder, "fails": fails} for fails in (False, True)]
    with pytest.raises(GenrecError, match="this shard is broken"):
        run_tasks("sid", fail_or_write, calls, ResourcesConfig(num_cpus=2), work, use=SMALL)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    time.sleep(1)
    assert not folder.exists()


def test_the_process_of_a_task_notes_what_it_runs_on(ray_cluster, tmp_path):
    run_tasks("sid", nice_level, [{}, {}], ResourcesConfig(num_cpus=2), tmp_path, use=StageResources(num_threads=3))
    (only,) = notes(tmp_path)
    assert '"threads": 3' in only.read_text()


@pytest.fixture
def slow_ray(monkeypatch, tmp_path):
    """A Ray whose end takes a moment; `events` says what happened."""
    events, up = [], [False]

    def init(**options):
        events.append("init")
        up[0] = True
        return SimpleNamespace(address_info={"session_dir": str(tmp_path)})

    def shutdown():
        events.append("going down")
        time.sleep(0.3)
        up[0] = False
        events.append("down")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: up[0])
    monkeypatch.setattr(ray, "shutdown", shutdown)
    monkeypatch.setattr(cluster, "_started_here", False)
    monkeypatch.setattr(cluster, "_stays", 0)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return events


def test_a_run_that_connects_while_another_ends_ray_waits_and_starts_it_again(slow_ray):
    cluster.connect(ResourcesConfig())
    ending = threading.Thread(target=cluster.disconnect)
    ending.start()
    while "going down" not in slow_ray:
        time.sleep(0.01)
    cluster.connect(ResourcesConfig())
    ending.join()
    assert slow_ray == ["init", "going down", "down", "init"]
    assert cluster._started_here


def test_ray_outlives_the_runs_of_a_block_and_ends_with_it(slow_ray):
    with cluster.staying_connected(), cluster.staying_connected():
        cluster.connect(ResourcesConfig())
        cluster.disconnect()
        assert slow_ray == ["init"]
    assert slow_ray == ["init", "going down", "down"]


def test_a_cluster_that_is_gone_is_no_second_error_and_any_other_error_shows(monkeypatch):
    def cancel(ref):
        raise errors[ref]

    errors = {"gone": ray.exceptions.RaySystemError("no cluster"), "bug": AttributeError("no such attribute")}
    monkeypatch.setattr(ray, "cancel", cancel)
    cluster._cancel("sid", ["gone"])
    with pytest.raises(AttributeError, match="no such attribute"):
        cluster._cancel("sid", ["bug"])


def vectors(progress=None) -> np.ndarray:
    """16 MiB, as a shard of 2,048 texts with a 3B model's vectors."""
    return np.ones((2048, 2048), dtype=np.float32)


def vectors_into(file: Path) -> None:
    write_piece(file, vectors(), EmbedConfig())


@pytest.mark.slow
def test_vectors_go_by_files_and_none_through_the_object_store(ray_cluster, tmp_path):
    from ray._private.internal_api import get_memory_info_reply, get_state_from_address

    def stored(function, calls) -> int:
        """Bytes in the object store when all calls have ended, while their results are held."""
        used = []
        state = get_state_from_address(ray.get_runtime_context().gcs_address)
        run_tasks(
            "embed", function, calls, ResourcesConfig(num_cpus=2), tmp_path, use=SMALL,
            on_done=lambda call, error: used.append(get_memory_info_reply(state).store_stats.object_store_bytes_used),
        )  # fmt: skip
        return max(used)

    files = [tmp_path / f"{i}.npy" for i in range(3)]
    assert stored(vectors, [{}] * 3) > 32 << 20  # what it would take
    before = stored(nice_level, [{}])
    assert stored(vectors_into, [{"file": file} for file in files]) <= before + (1 << 20)
    assert all(np.load(file, mmap_mode="r").shape == (2048, 2048) for file in files)


def test_the_object_store_is_bounded_by_the_setting_or_by_ray():
    assert cluster.object_store_bytes(ResourcesConfig()) is None
    assert cluster.object_store_bytes(ResourcesConfig(object_store_gib=2.5)) == 5 << 29
