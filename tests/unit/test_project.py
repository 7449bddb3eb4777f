"""Promises about the project itself: pure data, no code from data, every dependency used, a current manual."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = [p for folder in ("genrec", "tasks", "flows", "infra") for p in sorted((ROOT / folder).rglob("*.py"))]
# Imported through another library: transformers loads quantised bases with accelerate and bitsandbytes, Prefect's
# server is a FastAPI application, Ray Train imports pandas; rankers import their library by its name.
INDIRECT = {"accelerate", "bitsandbytes", "fastapi", "lightgbm", "pandas", "sqlalchemy"}
IMPORT_NAMES = {
    "faiss-cpu": "faiss",
    "pyyaml": "yaml",
    "ray[default,serve]": "ray",
    "scikit-learn": "sklearn",
    "universal-pathlib": "upath",
}


def _imports(path: Path, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=~! ]", r)[0].lower() for r in requirements}


def test_every_dependency_is_imported_somewhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    used = set().union(*(_imports(p) for p in SOURCES))
    wanted = {n: IMPORT_NAMES.get(n, n.replace("-", "_")) for n in _names(project["dependencies"]) - INDIRECT}
    assert {name for name, module in wanted.items() if module not in used} == set()


def test_the_lock_pins_every_declared_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = dict(
        line.split("==") for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")
    )
    declared = _names(project["dependencies"]) | _names(project["optional-dependencies"]["dev"])
    assert {n.partition("[")[0] for n in declared} - pinned.keys() == set()


def test_modules_for_a_bare_gpu_machine_import_little_at_the_top():
    allowed = {"torch", "transformers", "peft", "numpy", "pyarrow", "safetensors", "genrec"} | set(
        sys.stdlib_module_names
    )
    packages = [f"{name}/**/*.py" for name in ("redact", "sid", "model", "search", "train")]
    for package in (*packages, "serve/*.py"):  # below serve, what a machine that only recommends has no need of
        paths = sorted((ROOT / "genrec").glob(package))
        assert paths, f"genrec/{package} is gone"
        for path in paths:
            assert _imports(path, top_level_only=True) <= allowed, path


def test_data_never_executes():
    forbidden = re.compile(r"\b(torch|yaml|joblib|pickle)\.loads?\(|(?<![.\w])(eval|exec)\(|trust_remote_code=True")
    hits = [
        f"{p.relative_to(ROOT)}: {line.strip()}"
        for p in SOURCES
        for line in p.read_text().splitlines()
        if forbidden.search(line)
    ]
    assert hits == []
    assert not any({"pickle", "marshal", "shelve"} & _imports(p) for p in SOURCES)


def test_the_settings_page_is_current():
    from flows.manual import manual

    assert (ROOT / "conf" / "README.md").read_text() == manual(), "run: make manual"


def test_help_is_fast_and_names_every_command():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "flows", "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    for command in ("run", "compare", "report", "settings", "serve"):
        assert re.search(rf"\b{command}\b", done.stdout)
    assert not re.search(r"\| +(torch|prefect|ray)$", done.stderr, re.MULTILINE)
