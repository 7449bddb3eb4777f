"""Headless Chromium for the tests of the Prefect UI: installed by them, from Debian, with Playwright as the driver."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.extras import need

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PLAYWRIGHT = "playwright>=1.60,<2"
INSTALL_S = 400


def chromium() -> str:
    """The path of a Chromium; installs Debian's where that is possible, else skips the test."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    if not shutil.which("apt-get") or os.getuid() != 0:
        pytest.skip("no Chromium, and no apt-get as root to install one")
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"Chromium cannot be installed: {' '.join(command)} took more than {INSTALL_S} s")
    return shutil.which("chromium") or pytest.skip(f"Chromium cannot be installed: {done.stderr[-200:]}")


@contextlib.contextmanager
def page(profile: Path, login: str | None = None) -> Iterator[Any]:
    """A page of a browser with an empty profile; in another thread than the tests' own event loops.

    `login`: `user:password` that is entered where the browser itself asks for one.
    """
    executable = chromium()
    need("playwright", PLAYWRIGHT)
    from playwright.sync_api import sync_playwright  # type: ignore[import-not-found]

    with sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            str(profile),
            executable_path=executable,
            headless=True,
            args=FLAGS,
            viewport={"width": 1400, "height": 1100},
            http_credentials=dict(zip(("username", "password"), login.split(":", 1), strict=True)) if login else None,
        )
        try:
            yield context.pages[0]
        finally:
            context.close()
