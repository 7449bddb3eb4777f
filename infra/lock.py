"""Write requirements.lock: the exact versions that pip resolves for the project and its dev tools.

Run by `make lock` inside the environment. Local version labels (`+cpu`) are dropped, so that the same lock installs
the CPU build where an index offers one and the CUDA build elsewhere.
"""

import json
import subprocess
import sys
from pathlib import Path

HEADER = "# Every dependency, pinned. Written by `make lock`; do not edit.\n"


def main() -> None:
    resolved = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--ignore-installed",
            "--quiet",
            "--report",
            "-",
            ".[dev]",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    report = json.loads(resolved.stdout)
    pins = {}
    for package in report["install"]:
        name, version = package["metadata"]["name"], package["metadata"]["version"]
        if name.lower() != "genrec":
            pins[name.lower().replace("_", "-")] = version.partition("+")[0]
    Path("requirements.lock").write_text(HEADER + "".join(f"{n}=={v}\n" for n, v in sorted(pins.items())))
    print(f"requirements.lock: {len(pins)} packages")


if __name__ == "__main__":
    main()
