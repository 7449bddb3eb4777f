"""`python -m flows api` as a process of its own: what clients see while models change, files break and processes die."""

import contextlib
import json
import shutil
import sqlite3
import subprocess
from collections import Counter
from pathlib import Path

import psutil
import pytest

from genrec.in_service.registry import CURRENT, Registry
from genrec.store.local import Store
from tests.support.api_up import Api, Asking, start
from tests.support.documents import commands

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shop(tmp_path_factory, store, first_report) -> Path:
    """A store of its own with the finished run `first` in service."""
    copy = tmp_path_factory.mktemp("api") / "store"
    shutil.copytree(store, copy, symlinks=True, ignore=shutil.ignore_patterns("service", "work", "locks", "prefect"))
    keys, digests = of_run(first_report)
    Registry(Store(copy), "demo").promote("first", keys, "a test", digests=digests)
    return copy


@pytest.fixture(scope="module")
def api(shop):
    up = Api(shop, "api.reload_every_s=0.2", "api.deadline_ms=60000")
    yield up
    assert up.stop() == 0, up.output()
    assert "stopped" in up.output()


def of_run(report, *without: str) -> tuple[dict[str, str], dict[str, str]]:
    """Keys and digests of a run's artifacts by stage."""
    stages = [stage for stage in report["stages"] if stage["name"] not in without]
    return {s["name"]: s["key"] for s in stages}, {s["name"]: s["digest"] for s in stages}


def history(api: Api) -> list[str]:
    return [item["item_id"] for item in api.ask("/v1/recommend", {"history": [], "k": 5})[1]["items"]]


def test_it_greets_with_address_model_and_token_once(api, shop):
    shown = api.output()
    assert f"http://127.0.0.1:{api.port}" in shown
    assert "first, in service as demo" in shown
    assert shown.count(api.token) == 1
    assert (shop / "api" / "token").stat().st_mode & 0o077 == 0


def test_the_pages_examples_run(api):
    examples = [c for c in commands() if c.startswith(("curl ", "TOKEN="))]
    assert len(examples) >= 6
    script = "\n".join(examples).replace(".genrec/api/token", str(api.store / "api" / "token"))
    script = script.replace("http://127.0.0.1:8000", api.url).replace("curl -s", "curl -sS --fail-with-body -w '\\n'")
    done = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "genrec_requests_total" in done.stdout


def test_promotion_and_roll_back_under_load_fail_and_mix_no_answer(api, shop, first_report):
    registry = Registry(Store(shop), "demo")
    with_rl, without_rl = of_run(first_report), of_run(first_report, "rl")
    known = history(api)
    expected: dict[str, list[str]] = {}

    def check(answer: dict) -> None:
        ids = [item["item_id"] for item in answer["items"]]
        assert expected.setdefault(answer["model_key"], ids) == ids

    body = {"history": known, "k": 10, "keep_seen": True}
    asking = Asking(api, "/v1/recommend", body, threads=4, check=check)
    swaps = 0
    with asking:
        while sum(asking.statuses.values()) < 500 or swaps < 4:
            keys, digests = without_rl if swaps % 2 == 0 else with_rl
            number = registry.promote("first", keys, "a test", digests=digests).number
            api.wait(lambda n=number: shown_change(api, n), "the model to be exchanged")
            swaps += 1
    asking.raise_problems()
    assert asking.statuses.keys() == {200}
    assert expected.keys() == {with_rl[0]["rl"], with_rl[0]["sft"]}
    registry.roll_back()
    api.wait(lambda: api.ask("/health")[1]["model_key"] != keys.get("rl", keys["sft"]), "the roll back")


def shown_change(api: Api, number: int) -> bool:
    """Whether the change with this number answers: the log tells of each."""
    key = json.loads((api.store / "service" / "demo" / CURRENT).read_text())["keys"]
    health = api.ask("/health")[1]
    return health["model_key"] == key.get("rl", key["sft"]) and health["problem"] == ""


def test_a_model_that_is_damaged_at_reload_leaves_the_old_one_serving(api, shop):
    current = shop / "service" / "demo" / CURRENT
    before, key = current.read_text(), api.ask("/health")[1]["model_key"]
    record = json.loads(before)
    record |= {"number": record["number"] + 1, "keys": {**record["keys"], "rl": "rl-damaged"}, "digests": {}}
    store = Store(shop)
    for name in (f"{record['number']:06d}.json", CURRENT):
        store.write_document(f"service/demo/{name}", json.dumps(record))
    api.wait(lambda: "rl-damaged" in api.ask("/health")[1]["problem"], "the damage to be noticed")
    status, answer = api.ask("/v1/recommend", {"history": history(api)})
    assert (status, answer["model_key"]) == (200, key)
    assert "rl-damaged" in api.output()
    (shop / "service" / "demo" / f"{record['number']:06d}.json").unlink()
    store.write_document(f"service/demo/{CURRENT}", before)
    api.wait(lambda: api.ask("/health")[1]["problem"] == "", "the old record to be back")


def test_events_are_refused_with_503_while_another_holds_the_database_and_none_is_lost(api, shop):
    sent = [{"user_id": "locked", "item_id": item, "event": "click"} for item in history(api)[:2]]
    assert api.ask("/v1/events", {"events": sent[:1]})[0] == 200
    holder = sqlite3.connect(shop / "events" / "events.sqlite", isolation_level=None)
    with contextlib.closing(holder):
        holder.execute("BEGIN IMMEDIATE")
        status, refusal = api.ask("/v1/events", {"events": sent[1:]})
        assert (status, refusal["error"]) == (503, "log_unavailable")
        assert "nothing was stored" in refusal["detail"]
        assert api.ask("/v1/recommend", {"user_id": "locked", "k": 3})[0] == 200  # reading goes on
        holder.execute("ROLLBACK")
    assert api.ask("/v1/events", {"events": sent[1:]})[0] == 200
    stored = sqlite3.connect(shop / "events" / "events.sqlite").execute(
        "SELECT item_id FROM genrec_events WHERE user_id = 'locked' ORDER BY sequence"
    )
    assert [item for (item,) in stored] == [event["item_id"] for event in sent]


def test_a_second_endpoint_of_the_store_or_on_the_port_is_refused_by_name(api, shop, tmp_path):
    second = start(shop, api.port + 1)
    assert (second.wait(120), f"served already: http://127.0.0.1:{api.port}" in output(second)) == (1, True)
    elsewhere = tmp_path / "store"
    shutil.copytree(shop, elsewhere, symlinks=True, ignore=shutil.ignore_patterns("api", "events", "locks"))
    other = start(elsewhere, api.port)
    assert (other.wait(120), f"port {api.port} is taken" in output(other)) == (1, True)


def output(process: subprocess.Popen) -> str:
    return " ".join(process.stdout.read().split())  # type: ignore[union-attr]


def test_a_store_without_a_model_is_refused_with_the_command_that_trains_one(tmp_path):
    for place in (tmp_path / "nowhere", tmp_path):
        refused = start(place, 8999)
        assert refused.wait(120) == 1
        assert f"python -m flows run --config conf/demo.yaml --store {place}" in output(refused)
    assert not (tmp_path / "nowhere").exists()


def test_a_killed_replica_of_ray_serve_is_started_again_and_clients_go_on(shop, tmp_path):
    copy = tmp_path / "store"
    shutil.copytree(shop, copy, symlinks=True, ignore=shutil.ignore_patterns("api", "events", "locks"))
    settings = ["api.server=ray", "api.deadline_ms=30000", "api.num_cpus=0.5"]
    up = Api(copy, *settings)
    try:
        body = {"history": [item["item_id"] for item in up.ask("/v1/recommend", {"history": []})[1]["items"]]}
        replica = replica_of(up)
        with Asking(up, "/v1/recommend", body, threads=4) as asking:
            up.wait(lambda: asking.statuses[200] > 20, "answers")
            replica.kill()
            up.wait(lambda: replica_of(up, but=replica.pid) is not None, "another replica")
            before = asking.statuses[200]
            up.wait(lambda: asking.statuses[200] > before + 20, "answers of the other replica", 180)
        seen: Counter[int] = asking.statuses
        assert seen.keys() <= {200, 500, 503, 408}, seen
        print("what clients saw:", dict(seen))
    finally:
        family = psutil.Process(up.process.pid).children(recursive=True)
        code = up.stop()
    assert code == 0, up.output()
    assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE and "Serve" in " ".join(p.cmdline())] == []  # fmt: skip


def replica_of(up: Api, but: int = 0) -> psutil.Process | None:
    """The process of a replica, as Ray names it."""
    for process in psutil.Process(up.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.pid != but and any("ServeReplica" in part for part in process.cmdline()):
                return process
    return None
