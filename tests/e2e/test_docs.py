"""README.md and docs/: every command is run (pipelines on a tiny shop) or listed here with the reason why not."""

import contextlib
import importlib.util
import itertools
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from flows.serve.credentials import auth_string
from genrec.config import Config
from genrec.config.load import load_config
from genrec.serve.experiment import Experiment
from tests.e2e.conftest import ROOT, SHOP, TINY, run_flow, tiny_config
from tests.support.documents import PAGES, code, commands
from tests.support.experiments import GOOD, POOR, play
from tests.support.receiver import receiver

COMMANDS = commands()
INLINE = sorted({c for page in PAGES for c in code(page) if c.startswith(("python -m flows ", "make "))})


# ---- what is not run here: its reason, and what is checked in its place -----------------------------------------------


def _parses(command: str, whole: bool = True) -> None:
    """The command line knows the command and its options; nothing is run. Not `whole`: required ones may be left out."""
    from flows.__main__ import app

    name, *arguments = shlex.split(command)[3:]
    group = typer.main.get_command(app)
    group.commands[name].make_context(name, arguments, resilient_parsing=not whole)  # type: ignore[attr-defined]


def _config_loads(command: str) -> None:
    _parses(command)
    pairs = list(itertools.pairwise(shlex.split(command)))
    sets = [f"store={b}" if a == "--store" else b for a, b in pairs if a in ("--set", "--store")]
    config = load_config([ROOT / b for a, b in pairs if a == "--config"], sets)
    if "conf/a100.yaml" in command:
        assert config.base.model == config.embed.options["model"] == "Qwen/Qwen2.5-3B"


def _target_exists(command: str) -> None:
    done = subprocess.run([*shlex.split(command), "--dry-run"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def _files_exist(command: str) -> None:
    named = [word for word in shlex.split(command) if word.startswith("infra/")]
    assert named
    assert [word for word in named if not (ROOT / word).is_file()] == []


def _ray_parses(command: str) -> None:
    from ray.scripts.scripts import cli

    _, name, *arguments = shlex.split(command)
    cli.commands[name].make_context(name, arguments)


def _worker_has_a_pool(command: str) -> None:
    shown = [sys.executable, "-m", "prefect", "worker", "start", "--help"]
    done = subprocess.run(shown, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"}, check=True)
    assert "--pool" in done.stdout


def _asks_an_endpoint(command: str) -> None:
    assert "http://127.0.0.1:8000/" in command or "/api/token" in command


def _benchmarks_exist(command: str) -> None:
    module, *names = shlex.split(command)[2:]
    for wanted in [f"{module}.bench_{name}" for name in names] if module == "tests.bench" else [module]:
        assert importlib.util.find_spec(wanted), wanted


NOT_RUN: dict[str, tuple[str, Callable[[str], None]]] = {
    "make ": ("does its own set-up, or takes minutes; tests run what stands behind it", _target_exists),
    "python -m tests.bench": ("measures for minutes", _benchmarks_exist),
    "python -m flows deploy": ("needs a Prefect server elsewhere; tests/e2e/test_cluster.py runs it", _parses),
    "prefect worker start": ("needs a Prefect server elsewhere; tests/e2e/test_cluster.py runs it", _worker_has_a_pool),
    "python -m flows run --config conf/amazon2023.yaml --config conf/recipes/v1_standard.yaml --config conf/a100.yaml": (
        "needs a GPU and a model of 3B parameters",
        _config_loads,
    ),
    "python -m flows run --config conf/amazon2023.yaml --set data.path=null": (
        "needs a network; tests/unit/data/test_amazon_hub.py reads a copy of the layout",
        _config_loads,
    ),
    "python -m flows run --config conf/minionerec.yaml": (
        "needs files that are not ours; tests/unit/data/sources/test_minionerec.py writes some",
        _config_loads,
    ),
    "python -m flows run --config conf/demo.yaml --store s3://": (
        "needs an object store; tests/e2e/test_s3.py has one",
        _config_loads,
    ),
    "ray ": ("needs other machines, or writes to the home folder", _ray_parses),
    "python -m flows api": ("serves until it is stopped; tests/e2e/test_api.py starts it", _parses),
    "TOKEN=": ("asks an endpoint; tests/e2e/test_api.py runs it", _asks_an_endpoint),
    "curl ": ("asks an endpoint; tests/e2e/test_api.py runs it", _asks_an_endpoint),
    "serve deploy": ("needs a Ray cluster; tests/unit/test_infra_serve.py validates the file", _files_exist),
    "docker build": ("needs Docker", _files_exist),
    "docker compose": ("needs Docker; tests/unit/test_infra.py validates the file", _files_exist),
    "kubectl apply": ("needs a Kubernetes cluster; tests/unit/test_infra.py validates the file", _files_exist),
}


def _not_run(command: str) -> str | None:
    return next((beginning for beginning in NOT_RUN if command.startswith(beginning)), None)


FLOWS = [c for c in COMMANDS if c.startswith("python -m flows ") and not _not_run(c)]
SHELL = [c for c in COMMANDS if c.startswith(("mkdir ", "python -c ", "export "))]


def test_the_pages_have_the_commands_a_newcomer_needs():
    assert {"make run", "make test"} <= {*commands(PAGES[:1])}
    assert {c.split()[3] for c in FLOWS} >= {"run", "compare", "report", "current", "promote", "rollback", "prune"}


def test_every_command_is_run_or_listed_with_its_reason():
    assert [c for c in COMMANDS if c not in FLOWS and c not in SHELL and not _not_run(c)] == []
    assert [beginning for beginning in NOT_RUN if not any(c.startswith(beginning) for c in [*COMMANDS, *INLINE])] == []


@pytest.mark.parametrize("command", [c for c in COMMANDS if _not_run(c)])
def test_a_command_that_is_not_run_is_valid(command):
    beginning = _not_run(command)
    assert beginning is not None
    NOT_RUN[beginning][1](command)


@pytest.mark.parametrize("command", INLINE)
def test_a_command_within_a_sentence_is_valid(command):
    if command.startswith("make "):
        _target_exists(command)
    else:
        _parses(command, whole=False)


def test_the_commands_that_make_secrets_make_them(tmp_path):
    (tmp_path / "infra").mkdir()
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = "\n".join([*SHELL, 'printf %s "$PREFECT_AUTH_STRING"'])
    done = subprocess.run(
        ["bash", "-ec", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert len(done.stdout.removeprefix("genrec:")) >= 24
    secrets = {p.name: p.read_text().strip() for p in (tmp_path / "infra" / "secrets").iterdir()}
    assert secrets.keys() == {"postgres", "ray-token"}
    assert all(len(value) >= 32 for value in secrets.values())
    assert (tmp_path / "infra" / "secrets").stat().st_mode & 0o077 == 0


# ---- what is run ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shops(tmp_path_factory, store) -> dict[str, Path]:
    """Folders as a user would bring them: tables made of the tiny shop, and its files in the Amazon layout."""
    import pyarrow.parquet as pq

    ingest = next((store / "objects").glob("ingest-*/source")).parent
    tables, amazon = tmp_path_factory.mktemp("tables"), tmp_path_factory.mktemp("amazon")
    for name in ("interactions", "items"):
        pq.write_table(pq.read_table(ingest / f"{name}.parquet"), tables / f"{name}.parquet")
    for file in (ingest / "source").iterdir():
        shutil.copy(file, amazon)
    return {"my-shop/": tables, "my-amazon/": amazon}


@pytest.fixture(scope="module")
def in_service(tmp_path_factory, store) -> Path:
    """A store with two finished runs, the first of which is in service and the other the latest."""
    from flows.__main__ import app

    copy = tmp_path_factory.mktemp("service") / "store"
    shutil.copytree(store, copy, symlinks=True, ignore=shutil.ignore_patterns("service", "work", "locks"))
    run_flow(tiny_config(copy, "rl.kl_coef=0.9"), "other-model")
    promoted = CliRunner().invoke(app, ["promote", "first", "--store", str(copy)])
    assert promoted.exit_code == 0, promoted.output
    return copy


@pytest.mark.parametrize("command", FLOWS)
def test_a_command_runs(command, request, store, monkeypatch, tmp_path):
    from prefect.settings import PREFECT_API_URL

    from flows.__main__ import app

    monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value())  # the shared server, not one for each command
    monkeypatch.chdir(ROOT)
    name, *arguments = shlex.split(command)[3:]
    if name == "run":
        arguments = _small_run(arguments, request.getfixturevalue("shops"), store)
    elif name == "compare":
        arguments = _small_comparison(arguments, store)
    elif name in ("current", "promote", "rollback", "prune"):
        arguments += ["--store", str(_with_two_changes(request.getfixturevalue("in_service")))]
    elif name == "recommend":
        (tmp_path / "customers.csv").write_text("user_id\nnobody\n")
        there = {"my-shop/customers.csv": str(tmp_path / "customers.csv"), "my-lists": str(tmp_path / "lists")}
        arguments = [there.get(a, a) for a in arguments]
        arguments += ["--store", str(_with_two_changes(request.getfixturevalue("in_service")))]
    elif name == "plan":
        arguments += ["--config", str(ROOT / "conf" / "cpu.yaml")]  # a small model
    elif name == "export":
        arguments = [arguments[0], str(tmp_path / arguments[1]), "--store", str(store)]
    elif name == "experiment":
        lists = {"control": POOR, "candidate": GOOD}
        play(tmp_path, Experiment(arguments[0], "latest", 0.5), lists, {"g": 0.4, "p": 0.2}, 200)
        arguments += ["--store", str(tmp_path)]
    elif name in ("report", "login"):
        auth_string(store / "prefect")
        arguments += ["--store", str(store)]
    with receiver() if name == "alerts" else contextlib.nullcontext() as there:
        if there:
            monkeypatch.setenv("GENREC_ALERTS_URL", there.url)
        result = CliRunner().invoke(app, [name, *arguments])
        assert result.exit_code == 0, result.output
        assert not there or len(there.got) == 1


def _small_run(arguments: list[str], shops: dict[str, Path], store: Path) -> list[str]:
    """The arguments with the folders of the tiny shop, and tests/tiny.yaml laid over their configs."""
    for placeholder, folder in shops.items():
        arguments = [a.replace(placeholder, str(folder)) for a in arguments]
    shop = [part for override in SHOP for part in ("--set", override)] if "conf/demo.yaml" in arguments else []
    return [*arguments, "--config", str(TINY), "--store", str(store), *shop]


def _small_comparison(arguments: list[str], store: Path) -> list[str]:
    """A comparison of two tiny configs in place of the recipes, which tests/e2e/test_recipes.py compares."""
    assert len([path for a in arguments if "*" in a for path in ROOT.glob(a)]) == 4
    files = []
    for i in range(2):
        path = store / f"compared-{i}.yaml"
        path.write_text(tiny_config(store, f"name=c{i}", f"rl.kl_coef={0.002 * (i + 1)}").model_dump_json())
        files.append(str(path))
    return ["--configs", *files]


def _with_two_changes(store: Path) -> Path:
    """The store after both of its models were put in service, so that there is one to go back to."""
    from genrec.in_service.registry import Registry
    from genrec.store.local import Store

    if len(Registry(Store(store), "demo").history()) < 2:
        from flows.__main__ import app

        result = CliRunner().invoke(app, ["promote", "other-model", "--store", str(store)])
        assert result.exit_code == 0, result.output
    return store


# ---- names and links --------------------------------------------------------------------------------------------------


def test_every_setting_that_a_page_names_exists():
    sections = tuple(f"{name}." for name in Config.model_fields)
    tree = Config().model_dump(mode="json")
    unknown = []
    for page in PAGES:
        for word in code(page):
            path = word.removeprefix("--set ").partition("=")[0].partition(":")[0].split(".")
            if word.startswith(sections) and word.isascii() and not _has(tree, path):
                unknown.append(f"{page.name}: {word}")
    assert unknown == []


def _has(tree: object, path: list[str]) -> bool:
    for name in path:
        if not isinstance(tree, dict) or name not in tree:
            return False
        tree = tree[name]
    return True
