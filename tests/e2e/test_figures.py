"""The figures of the README's table are those that `make run` gives, up to the rounding of other processors."""

import json
import re
import subprocess
import sys

import pytest

from genrec.measure.comparison import RANK, RERANK
from genrec.measure.score_parts import MEASURED, PART_OF
from tests.e2e.conftest import ROOT
from tests.support.served import clean_environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PARTS = [f"sft_{part}" for part in MEASURED["sft"]]
FIGURE = r"(\.\d{4}) \((\.\d{4})-(\.\d{4})\)"
ROW = re.compile(rf"^\| ([a-z_= ]+) \| {FIGURE} \| {FIGURE} \| [\d.]+% \|$", re.MULTILINE)


def _promised() -> dict[str, dict[str, tuple[float, float, float]]]:
    """Model -> figure -> (value, low, high) of the README's table; one row may speak of several models."""
    rows = {}
    for names, *numbers in ROW.findall((ROOT / "README.md").read_text()):
        hit, gain = (tuple(map(float, numbers[at : at + 3])) for at in (0, 3))
        rows |= {key: {"hr@10": hit, "ndcg@10": gain} for key in names.split(" = ")}
    return rows


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """report.json of what `make run` runs: conf/demo.yaml as it stands."""
    store = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "flows", "run", "--config", "conf/demo.yaml", "--store", str(store)]
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=1700, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads((store / "runs" / "latest" / "report.json").read_text())


@pytest.mark.parametrize("model", ["sft", "rl", *PARTS, "transitions", "sasrec", "usercf", "itemcf", "popularity"])
def test_the_figures_of_the_readme_hold_within_their_intervals(demo, model):
    for name, (_, low, high) in _promised()[model].items():
        assert low <= demo["metrics"][model][name] <= high, name


@pytest.mark.parametrize("model", ["itemcf", "popularity"])
def test_baselines_without_a_trained_model_have_the_very_figures(demo, model):
    for name, (value, _, _) in _promised()[model].items():
        assert demo["metrics"][model][name] == pytest.approx(value, abs=5.1e-5), name


def test_the_models_rank_in_the_order_of_the_planted_structure(demo):
    for name in ("hr@10", "ndcg@10"):
        popularity, itemcf, rl = (demo["metrics"][model][name] for model in ("popularity", "itemcf", "rl"))
        assert popularity < itemcf < rl < demo["metrics"][RANK][name]
        baselines = demo["metrics"].keys() - {"sft", "rl", RANK, RERANK, *PART_OF}
        assert all(rl > demo["metrics"][model][name] for model in baselines)


def test_the_shop_has_the_size_that_the_readme_gives(demo):
    size = [
        f"{demo['data'][name]:,} {name.replace('interactions', 'events')}"
        for name in ("users", "items", "interactions")
    ]
    assert ", ".join(size) in (ROOT / "README.md").read_text()
