"""Packages that single tests need and the project does not: installed by the tests, in folders of their own."""

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest


def need(name: str, *requirements: str) -> None:
    """Make the packages importable, or skip the test with the reason.

    They come last on the path: the environment stays as it is locked, and what it has wins.
    """
    folder = Path(tempfile.gettempdir()) / f"genrec-test-{name}-{os.getuid()}"
    if not folder.is_dir():
        partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(partial), *requirements]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(partial)
            pytest.skip(f"{', '.join(requirements)} cannot be installed: {done.stderr[-200:]}")
        try:
            partial.rename(folder)
        except OSError:  # another test session was faster
            shutil.rmtree(partial)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
        importlib.invalidate_caches()
