"""Stages as fakes: each starts when what it reads is there, no other order holds; a failure stops what is at work."""

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.config import Config
from genrec.store.local import Artifact, Store
from tasks.run import STAGES, Run
from tasks.side_by_side import side_by_side
from tasks.stop import Stopped, stoppable, stopping

PATIENCE_S = 60  # far more than it takes; a test that would wait for ever fails instead


class Fake:
    """A stage that notes when it starts and ends, and does `work` in between."""

    def __init__(self, name, noted, work=lambda: None):
        self.name, self.noted, self.work = name, noted, work

    def __call__(self, run, **inputs):
        self.noted.append(("starts", self.name, {n: artifact.key for n, artifact in inputs.items()}))
        self.work()
        self.noted.append(("ends", self.name, {}))
        return Artifact(f"{self.name}-1", self.name, Path(), "", {}, 0.0)


def _run(tmp_path, **more):
    return Run(Config(), Store(tmp_path), "test", **more)


def _until_stopped():
    event = threading.Event()
    while not event.wait(0.01):
        stopping().check()


@settings(max_examples=20, deadline=None)
@given(reads=st.lists(st.sets(st.integers(0, 7)), min_size=2, max_size=len(STAGES)))
def test_a_stage_starts_after_all_that_it_reads_has_ended_and_gets_their_artifacts(tmp_path_factory, reads):
    noted, later = [], []
    with side_by_side(_run(tmp_path_factory.mktemp("store"))) as start:
        for i, read in enumerate(reads):
            later.append(start(Fake(STAGES[i], noted), **{f"i{j}": later[j] for j in read if j < i}))
    assert sorted(name for what, name, _ in noted if what == "ends") == sorted(STAGES[: len(reads)])
    for place, (what, _, inputs) in enumerate(noted):
        if what == "starts":
            ended = {f"{name}-1" for said, name, _ in noted[:place] if said == "ends"}
            assert set(inputs.values()) <= ended


def test_stages_that_do_not_read_each_other_are_at_work_at_the_same_time(tmp_path):
    together = threading.Barrier(2, timeout=PATIENCE_S)  # breaks unless both are there
    noted = []
    with side_by_side(_run(tmp_path)) as start:
        data = start(Fake("prepare", noted))
        start(Fake("embed", noted, together.wait), prepare=data)
        start(Fake("base", noted, together.wait), prepare=data)
    assert {name for what, name, _ in noted if what == "ends"} == {"prepare", "embed", "base"}


@pytest.mark.parametrize("until", STAGES)
def test_no_stage_after_the_last_one_that_was_asked_for_starts(tmp_path, until):
    noted, later = [], []
    with side_by_side(_run(tmp_path, until=until)) as start:
        for name in STAGES:
            later.append(start(Fake(name, noted), **{f"i{i}": before for i, before in enumerate(later)}))
    started = [name for what, name, _ in noted if what == "starts"]
    assert started == list(STAGES[: STAGES.index(until) + 1])


def test_a_failure_is_raised_and_stops_the_stage_beside_it_and_starts_nothing_after_it(tmp_path):
    noted, at_work = [], threading.Event()

    def fail():
        assert at_work.wait(PATIENCE_S)
        raise ValueError("lost power")

    def work():
        at_work.set()
        try:
            _until_stopped()
        except Stopped as stopped:
            noted.append(("stopped", str(stopped), {}))
            raise

    with pytest.raises(ValueError, match="lost power"), side_by_side(_run(tmp_path)) as start:  # noqa: PT012
        data = start(Fake("prepare", noted))
        vectors = start(Fake("embed", noted, fail), prepare=data)
        start(Fake("sid", noted), embed=vectors)
        start(Fake("base", noted, work), prepare=data)
    (why,) = [text for what, text, _ in noted if what == "stopped"]
    assert "embed failed" in why
    assert {name for what, name, _ in noted if what == "starts"} == {"prepare", "embed", "base"}


def test_a_run_that_is_stopped_ends_its_stages_and_starts_no_more(tmp_path):
    noted, at_work = [], threading.Event()

    def work():
        at_work.set()
        _until_stopped()

    with stoppable() as stop:
        with pytest.raises(Stopped, match="Ctrl-C"), side_by_side(_run(tmp_path)) as start:  # noqa: PT012
            data = start(Fake("prepare", noted, work))
            start(Fake("embed", noted), prepare=data)
            assert at_work.wait(PATIENCE_S)
            stop.ask("Ctrl-C")
        assert noted == [("starts", "prepare", {})]


def test_what_the_stages_did_is_noted_in_their_order_whichever_ends_first(tmp_path):
    run = _run(tmp_path)
    for name in ("in_service", "sft", "baselines", "base", "embed", "sft"):
        run.done({"name": name, "key": f"{name}-1"}, Artifact(f"{name}-1", name, Path(), "", {}, 0.0))
    expected = ["embed", "base", "sft", "baselines", "in_service"]
    assert [r["name"] for r in run.records] == list(run.artifacts) == expected
