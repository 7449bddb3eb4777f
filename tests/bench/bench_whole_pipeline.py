"""The whole pipeline on millions of generated reviews: time, CPU time and memory of every stage.

    python -m tests.bench.bench_whole_pipeline --rows 5000000 --users 800000 --items 105000 --folder /big/disk

Reviews are generated once (see generate_reviews; here every item has metadata), then `python -m flows run` goes over them
as a user would start it, in a process of its own, with a store in the folder. A run that was stopped is continued by the
same command: CPU time is that of all runs together, memory the most of any. Every second the proportional set size (PSS)
and the CPU time of all its processes are read, Ray's and Prefect's among them. Ray calls a worker by the task it runs,
which tells whose memory and time they are; what belongs to no stage (the flow, raylet, servers, idle workers) counts in
the sums alone.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import psutil

from tests.bench.generate_reviews import generate

ROWS_A_FILE = 500_000
SAMPLE_S = 1.0
_STAGE_OF_WORKER = re.compile(r"ray::(\w+):")  # tasks are called STAGE:FUNCTION (tasks/ray/cluster.py)
_GIB = 2**30


class Watch(threading.Thread):
    """Memory and CPU time of a process and all below it, by stage, until the process ends."""

    def __init__(self, root: psutil.Process) -> None:
        super().__init__(daemon=True)
        self.root = root
        self.own_peak: dict[str, int] = defaultdict(int)  # of the tasks of a stage
        self.peak_while: dict[str, int] = defaultdict(int)  # of all processes, while a stage was at work
        self.cpu_s: dict[str, float] = defaultdict(float)
        self._cpu_before: dict[tuple[int, float], float] = {}

    def run(self) -> None:
        while self.root.is_running() and self.root.status() != psutil.STATUS_ZOMBIE:
            try:
                self._sample([self.root, *self.root.children(recursive=True)])
            except psutil.NoSuchProcess:
                return
            time.sleep(SAMPLE_S)

    def _sample(self, processes: Sequence[psutil.Process]) -> None:
        held: dict[str, int] = defaultdict(int)
        for process in processes:
            try:
                of_worker = _STAGE_OF_WORKER.match(" ".join(process.cmdline()))
                stage = of_worker.group(1) if of_worker else ""
                held[stage] += process.memory_full_info().pss
                used = process.cpu_times()
                started = process.pid, process.create_time()
            except psutil.Error:
                continue
            busy = used.user + used.system
            self.cpu_s[stage] += busy - self._cpu_before.get(started, 0.0)
            self._cpu_before[started] = busy
        total = sum(held.values())
        for stage, size in held.items():
            self.own_peak[stage] = max(self.own_peak[stage], size)
            self.peak_while[stage] = max(self.peak_while[stage], total)


def run(reviews: Path, folder: Path, settings: Sequence[str], until: str | None) -> tuple[Watch, int]:
    """Run the pipeline over the reviews, its output passed on, and watch it; returns its exit status, too."""
    command = [
        sys.executable,
        "-m",
        "flows",
        "run",
        "--config",
        "conf/amazon2023.yaml",
        "--store",
        str(folder / "store"),
    ]
    command += ["--until", until] if until else []
    for setting in (f"data.path={reviews}", "preset=quick", *settings):
        command += ["--set", setting]
    child = subprocess.Popen(command)
    watch = Watch(psutil.Process(child.pid))
    watch.start()
    code = child.wait()
    watch.join()
    return watch, code


def noted(watch: Watch, file: Path) -> dict[str, dict[str, float]]:
    """What was watched, by stage ("": no stage), added to what earlier runs left in `file`."""
    found: dict[str, dict[str, float]] = json.loads(file.read_text()) if file.is_file() else {}
    for stage in watch.cpu_s:
        before = found.get(stage, {"cpu_s": 0.0, "own_peak_gib": 0.0, "peak_while_gib": 0.0})
        found[stage] = {
            "cpu_s": round(before["cpu_s"] + watch.cpu_s[stage], 1),
            "own_peak_gib": round(max(before["own_peak_gib"], watch.own_peak[stage] / _GIB), 2),
            "peak_while_gib": round(max(before["peak_while_gib"], watch.peak_while[stage] / _GIB), 2),
        }
    file.write_text(json.dumps(found, indent=1) + "\n")
    return found


def show(found: dict[str, dict[str, float]], store: Path) -> None:
    """The table, with the seconds that the artifacts of the last report took."""
    report = json.loads((store / "runs/latest/report.json").read_text())
    data = report["data"]
    print(f"{data['users']:,} users, {data['items']:,} items, {data['interactions']:,} events after the k-core")
    print(f"{'':10} {'s':>8} {'CPU s':>8} {'its peak':>9} {'peak of all, GiB':>17}")
    for stage in report["stages"]:
        manifest = json.loads((store / "objects" / stage["key"] / "manifest.json").read_text())
        of = found.get(stage["name"])
        figures = f"{of['cpu_s']:8.1f} {of['own_peak_gib']:9.2f} {of['peak_while_gib']:17.2f}" if of else ""
        print(f"{stage['name']:10} {manifest['seconds']:8.1f} {figures}")
    others = found[""]
    print(f"{'others':10} {'':8} {others['cpu_s']:8.1f} {others['own_peak_gib']:9.2f} {others['peak_while_gib']:17.2f}")
    print(f"load {os.getloadavg()[0]:.1f}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--users", type=int, help="that write reviews; by default a sixth of the rows")
    parser.add_argument("--items", type=int, help="that reviews are of; by default a twelfth of the rows")
    parser.add_argument("--folder", type=Path, required=True, help="for reviews and store, which are kept")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="a setting of the run: a.b=c")
    parser.add_argument("--until", help="the last stage that is run")
    asked = parser.parse_args(arguments)
    reviews = asked.folder / "reviews"
    if not reviews.is_dir():
        files = -(-asked.rows // ROWS_A_FILE)
        generate(reviews, asked.rows, files, users=asked.users, items=asked.items, items_a_described=1)
    watch, code = run(reviews, asked.folder, asked.settings, asked.until)
    found = noted(watch, asked.folder / "watched.json")
    if code:
        sys.exit(f"the run ended with {code}; the same command continues it")
    show(found, asked.folder / "store")


if __name__ == "__main__":
    main()
