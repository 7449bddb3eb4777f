"""Promises that the suite tests already: its tests are run and counted, each test and each of its parameters once."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from tests.e2e.conftest import ROOT
from tests.support.promises.count import Count


def counted_tests(promise: int, how: str, tests: list[str], folder: Path, only: str = "") -> Count:
    """Run tests in a process of their own. `only`: pytest's -k. Those that are skipped are not counted."""
    count = Count(promise, how)
    report = folder / f"tests-{promise}.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "slow or not slow", f"--junitxml={report}", *tests]
    done = subprocess.run([*command, *(["-k", only] if only else [])], cwd=ROOT, capture_output=True, check=False)
    with count.attempt("pytest", tries=0):
        assert done.returncode in (0, 1), done.stdout[-500:].decode()
    if done.returncode not in (0, 1):
        return count
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("skipped") is None:
            with count.attempt(f"{case.get('classname')}::{case.get('name')}"):
                problem = next((case.find(kind) for kind in ("failure", "error") if case.find(kind) is not None), None)
                assert problem is None, (problem.get("message") or "")[:300]
    return count
