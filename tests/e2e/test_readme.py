"""Every command in the README is run here (pipelines on a tiny shop), so that none of them rots."""

import itertools
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.e2e.conftest import ROOT, SHOP, TINY, tiny_config

BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
LINES = [line.split(" #")[0].strip() for block in BLOCKS for line in block.replace("\\\n", " ").splitlines()]
COMMANDS = sorted({line for line in LINES if line})
FLOWS = [c for c in COMMANDS if c.startswith("python -m flows ") and " serve" not in c]
MAKE = [c for c in COMMANDS if c.startswith("make ")]


@pytest.fixture(scope="module")
def shops(tmp_path_factory, first_report, store) -> dict[str, Path]:
    """Folders as a user would bring them: tables made of the tiny shop, and its files in the Amazon layout."""
    import pyarrow.parquet as pq

    ingest = next((store / "objects").glob("ingest-*"))
    tables, amazon = tmp_path_factory.mktemp("tables"), tmp_path_factory.mktemp("amazon")
    for name in ("interactions", "items"):
        pq.write_table(pq.read_table(ingest / f"{name}.parquet"), tables / f"{name}.parquet")
    for file in (ingest / "source").iterdir():
        shutil.copy(file, amazon)
    return {"my-shop/": tables, "my-amazon/": amazon}


def test_the_readme_has_the_commands_a_newcomer_needs():
    assert {"make run", "make test"} <= set(MAKE)
    assert {c.split()[3] for c in FLOWS} >= {"run", "compare", "report"}
    unknown = [
        c for c in COMMANDS if c not in FLOWS and c not in MAKE and " serve" not in c and not c.startswith("ray ")
    ]
    assert unknown == []


@pytest.mark.parametrize("command", MAKE)
def test_a_make_target_of_the_readme_exists(command):
    done = subprocess.run([*shlex.split(command), "--dry-run"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", FLOWS)
def test_a_command_of_the_readme_runs(command, shops, store, monkeypatch):
    from prefect.settings import PREFECT_API_URL

    from flows.__main__ import app

    monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value())  # the shared server, not one for each command
    monkeypatch.chdir(ROOT)
    arguments = shlex.split(command)[3:]
    for placeholder, folder in shops.items():
        arguments = [a.replace(placeholder, str(folder)) for a in arguments]
    if arguments[0] == "run":
        small = ["--config", str(TINY), "--store", str(store)]
        if "conf/demo.yaml" in arguments:
            small += [part for override in SHOP for part in ("--set", override)]
        if "conf/a100.yaml" in arguments:  # a 3B model and a GPU are not at hand: the overlay must load and check
            from genrec.config.load import load_config

            files = [Path(b) for a, b in itertools.pairwise(arguments) if a == "--config"]
            assert load_config(files).base.model == "Qwen/Qwen2.5-3B"
            return
        arguments += small
    elif arguments[0] == "compare":
        configs = [path for a in arguments if a.endswith(".yaml") for path in sorted(ROOT.glob(a))]
        assert len(configs) > 1
        made = []
        for i, _ in enumerate(configs[:2]):
            path = store / f"compared-{i}.yaml"
            config = tiny_config(store, f"name=c{i}", f"rl.kl_coef={0.001 * (i + 1)}")
            path.write_text(config.model_dump_json())
            made.append(str(path))
        arguments = ["compare", "--configs", *made]
    else:
        arguments += ["--store", str(store)] if arguments[0] in ("report", "current") else []
    if arguments[0] == "current":
        promoted = CliRunner().invoke(app, ["promote", "latest", "--store", str(store)])
        assert promoted.exit_code == 0, promoted.output
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
