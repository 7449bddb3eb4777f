"""A stage that does not fit one node spreads: two nodes of Ray with half the memory each, the digests of one machine."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genrec.embed.encode import embed_catalogue
from tests.e2e.conftest import ROOT, tiny_config
from tests.support.promises.whole_run import in_this_process
from tests.support.served import clean_environment
from tests.support.two_nodes import HASHED, SPREAD, executed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def _copy(store: Path, folder: Path, without: tuple[str, ...]) -> Path:
    """A copy of a store without the artifacts of some stages."""
    shutil.copytree(store, folder, symlinks=True)
    for path in (folder / "objects").iterdir():
        if path.name.partition("-")[0] in without:
            shutil.rmtree(path)
    return folder


@pytest.fixture(scope="module")
def copied(store, first_report, tmp_path_factory):
    """The store of a run on one machine, without what the two nodes are to compute."""
    return _copy(store, tmp_path_factory.mktemp("two-nodes") / "store", SPREAD)


@pytest.fixture(scope="module")
def on_one(store, first_report, tmp_path_factory):
    """Digests by stage of the same settings in one process, which `evaluate` has other batches with than the shared run."""
    with in_this_process():
        run = executed(_copy(store, tmp_path_factory.mktemp("one-node") / "store", ("evaluate",)))
    assert {record["name"] for record in run.records if record["status"] == "computed"} == {"evaluate"}
    return {record["name"]: record["digest"] for record in run.records}


@pytest.fixture(scope="module")
def result(copied):
    command = [sys.executable, "-m", "tests.support.two_nodes", str(copied)]
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=600, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(lines[-1].removeprefix("RESULT "))


def test_ingest_prepare_embed_and_evaluate_have_the_digests_of_one_machine(result, on_one):
    assert {name: record["digest"] for name, record in result["records"].items()} == on_one
    computed = {name for name, record in result["records"].items() if record["status"] == "computed"}
    assert computed == set(SPREAD)


def test_tasks_that_a_node_has_memory_for_one_of_run_on_both_nodes_at_once(result):
    assert len(set(result["met"])) == 2


def test_stages_ran_on_both_nodes(result):
    assert set(result["nodes"]) == set(SPREAD)
    assert len({node for nodes in result["nodes"].values() for node in nodes}) == 2


def test_pieces_of_a_large_catalogue_are_encoded_to_the_bytes_of_one_process(result, copied, tmp_path):
    prepared = copied / "objects" / result["records"]["prepare"]["key"]
    embed_catalogue(prepared / "catalogue.parquet", tiny_config(copied, HASHED).embed, tmp_path, tmp_path)
    for name in ("vectors.parquet", "encoder.safetensors", "encoder.json", "texts.json"):
        assert (copied / "objects" / result["hashed"] / name).read_bytes() == (tmp_path / name).read_bytes()


def test_a_task_that_is_larger_than_any_node_is_refused_with_what_it_needs(result):
    assert "a task needs 1 cores" in result["refused"]
    assert "no node of Ray has that" in result["refused"]
    assert "memory_gib" in result["refused"]
