"""A folder of installed packages that holds only some of them and what they require: a machine that has nothing else."""

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def required(names: list[str]) -> set[str]:
    """These distributions and all that they require here, without extras."""
    found: set[str] = set()
    waiting = [_normal(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:  # required on other machines
            continue
        found.add(name)
        parsed = [Requirement(text) for text in requirements]
        waiting += [_normal(r.name) for r in parsed if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


def bare_site(folder: Path, names: list[str]) -> Path:
    """Links to the top-level files of these distributions and of what they require."""
    folder.mkdir()
    for name in required(names):
        dist = distribution(name)
        site = Path(str(dist.locate_file("")))
        for top in {file.parts[0] for file in dist.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            if not (folder / top).exists():
                (folder / top).symlink_to(site / top)
    return folder


def run_bare(site: Path, code: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run Python with genrec and the packages of `site` alone."""
    paths = f"{site}:{ROOT}"
    environment = {"PYTHONPATH": paths, "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HOME": str(site)}
    command = [sys.executable, "-S", *options, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
