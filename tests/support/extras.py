"""Packages that only single tests need: the tests install them into folders of their own."""

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

INSTALL_S = 400


def need(name: str, *requirements: str) -> None:
    """Make the packages importable, or skip the test with the reason.

    They come last on the path: the environment stays as it is locked, and what it has wins.
    """
    folder = Path(tempfile.gettempdir()) / f"genrec-test-{name}-{os.getuid()}"
    if not folder.is_dir():
        partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(partial), *requirements]
        try:
            done = subprocess.run(pip, capture_output=True, text=True, timeout=INSTALL_S, check=False)
            why = done.stderr[-200:] if done.returncode else ""
        except subprocess.TimeoutExpired:
            why = f"pip took more than {INSTALL_S} s"
        if why:
            shutil.rmtree(partial)
            pytest.skip(f"{', '.join(requirements)} cannot be installed: {why}")
        try:
            partial.rename(folder)
        except OSError:  # another test session was faster
            shutil.rmtree(partial)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
        importlib.invalidate_caches()
