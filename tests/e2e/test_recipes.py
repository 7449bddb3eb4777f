"""The recipes of conf/recipes: every config in the repo loads, each recipe runs end to end, and they are compared."""

import json
from operator import attrgetter

import pytest
import yaml

from genrec import variants
from genrec.config.load import load_config
from tests.e2e.conftest import ROOT, SHOP, TINY

pytestmark = pytest.mark.timeout(900)  # the fixture trains four models: minutes where other work keeps the cores busy
RECIPES = sorted((ROOT / "conf" / "recipes").glob("*.yaml"))
CONFIGS = sorted({*(ROOT / "conf").rglob("*.yaml"), *(ROOT / "tests").rglob("*.yaml")})
CPU = ROOT / "conf" / "cpu.yaml"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_of_the_repository_loads(path):
    assert load_config([path]).model_dump(mode="json")


@pytest.mark.parametrize("overlay", ["cpu", "a100"])
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.stem)
def test_an_overlay_changes_where_a_recipe_runs_and_not_what_it_is(recipe, overlay):
    plain, laid = (load_config([recipe, *more]) for more in ([], [ROOT / "conf" / f"{overlay}.yaml"]))
    assert laid.name == plain.name == recipe.stem
    for section, names in {
        "sid": ("method", "options", "num_codes"),
        "sft": (
            *("adapter", "lora_rank", "lora_targets", "loss", "sampler", "dense_head", "item_vectors"),
            *("patience", "min_learning_rate"),
        ),
        "sft.alignment": ("sid_to_title", "title_to_sid", "description_to_sid"),  # their pace may be the machine's
        "rl": ("algorithm", "options", "rewards", "group_size", "kl_coef", "empty_groups"),
        "rl.rollout": ("mode", "temperature", "seen_items"),
        "evaluate": ("beam_width", "baselines"),
    }.items():
        of_laid, of_plain = (attrgetter(section)(config) for config in (laid, plain))
        for name in names:
            assert getattr(of_laid, name) == getattr(of_plain, name), name
    assert laid.base.model == ("scratch" if overlay == "cpu" else "Qwen/Qwen2.5-3B")


def test_a_recipe_spells_out_every_choice_that_makes_it_what_it_is():
    for path in RECIPES:
        written = yaml.safe_load(path.read_text())
        assert {"embed", "sid", "base", "sft", "rl", "evaluate"} <= written.keys()
        assert {"adapter", "loss", "sampler", "alignment", "batch_size", "patience"} <= written["sft"].keys()
        assert {"algorithm", "group_size", "rewards", "rollout"} <= written["rl"].keys()


def test_a_recipe_is_kept_for_the_figures_that_its_reward_pays_for():
    paid = {}
    for path in RECIPES:
        rl = load_config([path]).rl
        rewards = (variants.load(rl.rewards[0].variant_package, term.name) for term in rl.rewards)
        paid[path.stem[:2], rl.gate.metric] = {figure for reward in rewards for figure in reward.PAYS_FOR}
    assert paid == {
        ("v1", "ndcg@10"): {"hr", "ndcg"},
        ("v2", "reward"): {"hr", "ndcg", "categories"},
        ("v3", "reward"): {"hr", "ndcg", "categories", "new_items"},
        ("v4", "reward"): {"hr", "purchases", "repeats"},
    }


@pytest.fixture(scope="module")
def comparison(store, prefect_server, ray_cluster):
    from flows.compare import compare

    small = [f"store={store}", *SHOP, "base.scratch.text_epochs=1", "sft.lora_rank=4", "sid.refit=false",
             "rl.num_rollout_workers=0", "resources.rl.num_cpus=1"]  # fmt: skip
    small += ["rl.group_size=4"]
    configs = []
    for path in RECIPES:
        sets = list(small)
        if "rqvae" in load_config([path]).sid.method:
            sets += ["sid.options.epochs=3", "sid.options.warmup_epochs=1"]
        configs.append(load_config([path, CPU, TINY], sets).model_dump(mode="json"))
    return compare(configs=configs, run_id="recipes")


def test_every_recipe_runs_end_to_end_before_and_after_rl(comparison):
    rows = {r["label"]: r for r in comparison["rows"]}
    for recipe in RECIPES:
        for words in ("sft",) if recipe.stem in comparison["unchanged"] else ("before RL", "after RL"):
            row = rows[f"{recipe.stem} {words}"]
            assert set(row["metrics"]) == {"hr@10", "ndcg@10"}
            low, high = row["metrics"]["hr@10"]["ci"]
            assert 0 <= low <= row["metrics"]["hr@10"]["mean"] <= high <= 1
            assert row["cost"]["train_seconds"] > 0
            assert row["cost"]["lists_per_s"] > 0
            assert row["lists"].keys() == {"coverage", "novelty", "diversity", "tail_share"}


def test_baselines_stand_beside_them_once(comparison):
    baselines = [r["label"] for r in comparison["rows"] if r["recipe"] is None]
    assert sorted(baselines) == ["itemcf", "popularity", "transitions"]


def test_shared_stages_are_computed_once(comparison, store):
    runs = [json.loads((store / "runs" / r["run_id"] / "report.json").read_text()) for r in comparison["runs"]]
    assert len(runs) == len(RECIPES)
    for stage in ("ingest", "prepare", "embed", "base", "baselines"):
        found = [s for r in runs for s in r["stages"] if s["name"] == stage]
        assert len({s["key"] for s in found}) == 1
        assert sum(s["status"] == "computed" for s in found) <= 1


def test_what_a_recipe_claims_of_memory_and_size_is_measured(comparison):
    about = {r["name"]: r for r in comparison["recipes"]}
    assert {r["adapter"] for r in about.values()} == {"lora", "qlora"}
    for recipe in about.values():
        assert 0 < recipe["trainable_share"] < 1
        assert 0 <= recipe["collision_rate_raw"] <= 1
        assert recipe["weight_bytes"] > 0
    assert any("QLoRA" in sentence and "LoRA" in sentence for sentence in comparison["summary"])


def test_the_summary_speaks_of_every_recipe_and_the_page_holds_it(comparison, store):
    text = "\n".join(comparison["summary"])
    returned = " ".join(s for s in comparison["summary"] if s.endswith("rl is the sft model."))
    for recipe in RECIPES:
        assert f"{recipe.stem}: reinforcement learning" in text or recipe.stem in returned
    page = (store / "runs" / "recipes" / "comparison.html").read_text()
    assert page.count("<svg") >= 3
    assert comparison["summary"][0].split(" leads")[0] in page
    on_disk = json.loads((store / "runs" / "recipes" / "comparison.json").read_text())
    assert on_disk["summary"] == comparison["summary"]
