"""How often each promise of docs/reliability.md was tried and broken.

python -m tests.bench promises                          all, at their full counts: half an hour on two cores
python -m tests.bench.bench_promises --only 4 5         promises 4 and 5
python -m tests.bench.bench_promises --without-services  without the tests that start Ray or a Prefect server

Counts, seeds and whatever broke go to --json (default: promises.json) after each part, so a run that is cut off keeps
what it has.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.promises import (
    disk_faults,
    full_disk,
    kills,
    poison,
    stage_faults,
    together,
    trainers,
)
from tests.support.promises.by_tests import counted_tests
from tests.support.promises.count import Count

Part = Callable[[Path], Count]

PARTS: list[tuple[int, Part]] = [
    (1, lambda folder: kills.named_points(folder, 10)),
    (1, lambda folder: kills.random_moments(folder, 50, seed=0)),
    (1, lambda folder: kills.random_moments(folder, 50, seed=1)),
    (2, lambda folder: disk_faults.power_losses(folder, 500)),
    (3, disk_faults.failing_calls),
    (3, stage_faults.failing_calls_of_stages),
    (3, lambda folder: full_disk.full_disks(folder, 3)),
    (4, lambda folder: stage_faults.corruptions(folder, 300)),
    (5, lambda folder: together.one_computation(folder, 8, 25)),
    (6, stage_faults.failed_stages),
    (6, lambda folder: counted_tests(
        6, "each setting changed: it changes the keys of its stage and of those after, and no other",
        ["tests/unit/config/test_keys.py"], folder)),
    (7, lambda folder: trainers.killed_trainers(folder, 20)),
    (8, lambda folder: counted_tests(
        8, "NaN or infinity in losses, gradients, rewards, vectors and weights: an error before anything is changed",
        ["tests/unit/train", "tests/unit/sid", "tests/unit/embed"], folder,
        "not_finite or non_finite or broken_reward")),
    (10, lambda folder: together.fired_twice(folder, 10)),
    (11, lambda folder: poison.poisoned(folder, 10)),
    (12, lambda folder: counted_tests(
        12, "pickles, code of a model, YAML tags, hostile names and texts in data and pages; no such call in the source",
        ["tests/unit/test_project.py", "tests/unit/config", "tests/unit/data", "tests/unit/train/test_base.py",
         "tests/unit/embed", "tests/unit/report", "tests/unit/sid/test_tokenizer_files.py"], folder,
        "never_executes or wants_to_run_code or hostile or pickle or code_that_comes or escaped or damaged_tensors")),
    (13, lambda folder: counted_tests(
        13, "ports, passwords and tokens of the compose and cluster files, of the report pages and of the password file",
        ["tests/unit/test_infra.py", "tests/unit/flows/serve/test_serve.py"], folder,
        "loopback or password or token or pages")),
    (14, lambda folder: counted_tests(
        14, "secrets in settings, URLs, the environment, errors, log lines and forms",
        ["tests/unit/redact", "tests/unit/config/test_secrets.py", "tests/unit/flows"], folder,
        "secret or token or redact or canary")),
]  # fmt: skip

SERVICES: list[tuple[int, Part]] = [
    (9, lambda folder: counted_tests(
        9, "Ray workers, the node, its control process, the runner and the server killed in the middle of work",
        ["tests/unit/tasks/ray/test_rollouts.py", "tests/e2e/test_crashes.py"], folder, "kill or death")),
    (13, lambda folder: counted_tests(
        13, "what listens while `serve` and a run are up, and its answer without the password",
        ["tests/e2e/test_serve.py"], folder, "password or loopback or behind_the_login")),
    (14, lambda folder: counted_tests(
        14, "secrets in a run that fails: database, logs, artifacts and reports searched",
        ["tests/e2e/test_secrets.py"], folder)),
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=int, nargs="*", help="promises by number")
    parser.add_argument("--without-services", action="store_true")
    parser.add_argument("--services-alone", action="store_true")
    parser.add_argument("--json", type=Path, default=Path("promises.json"))
    arguments = parser.parse_args()
    parts = [*([] if arguments.services_alone else PARTS), *([] if arguments.without_services else SERVICES)]
    found = []
    for promise, part in parts:
        if arguments.only and promise not in arguments.only:
            continue
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            count = part(Path(folder))
        found.append({**vars(count), "seconds": round(time.monotonic() - began)})
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
        print(f"{promise:>2}  tried {count.tried:>4}  broken {len(count.broken):>3}  {count.how}", flush=True)
        for line in count.broken[:5]:
            print(f"      {line}", flush=True)


if __name__ == "__main__":
    main()
