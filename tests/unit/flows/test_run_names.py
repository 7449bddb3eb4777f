"""Names of runs: what the user typed, else data, recipe, size and seed; one scheme for flow runs and folders."""

import re
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import recipes, run_names
from genrec.config import Config
from genrec.config.load import load_config, read_yaml
from genrec.errors import ConfigError
from tests.e2e.conftest import ROOT

CONF = ROOT / "conf"


def _config(*files: str, **settings: str) -> Config:
    return load_config([CONF / file for file in files], [f"{n.replace('__', '.')}={v}" for n, v in settings.items()])


@pytest.mark.parametrize(
    ("files", "settings", "name"),
    [
        (["demo.yaml"], {}, "demo-default-full-seed0"),
        (["demo.yaml"], {"preset": "quick", "seed": "3"}, "demo-default-quick-seed3"),
        (["demo.yaml", "generative.yaml"], {}, "demo-generative-full-seed0"),
        (["recipes/v1_standard.yaml", "cpu.yaml"], {}, "demo-v1_standard-cpu-full-seed0"),
        (["table.yaml"], {"data__path": "shops/my-shop/"}, "my-shop-default-full-seed0"),
        (["table.yaml"], {"data__path": "s3://bucket/spring.2026"}, "spring-default-full-seed0"),
        (["amazon2023.yaml"], {}, "amazon2023-default-full-seed0"),
        (["demo.yaml"], {"name": "before-the-sale"}, "before-the-sale"),
    ],
)
def test_a_run_is_called_by_data_recipe_size_and_seed_unless_its_config_says_how(files, settings, name):
    config = _config(*files, **settings)
    assert run_names.run_name(config, run_names.recipe_of([CONF / file for file in files])) == name


def test_a_comparison_is_called_by_its_data_and_recipes():
    assert run_names.by_scheme(_config("demo.yaml"), "default", "lora") == "demo-default-vs-lora-full-seed0"


def test_a_typed_name_wins_over_that_of_the_config():
    assert run_names.run_name(_config("demo.yaml", name="mine"), "default", "Spring, try 2") == "Spring, try 2"


def test_forms_and_command_line_call_a_recipe_the_same():
    for name, files in recipes.FILES.items():
        assert run_names.recipe_of(files) == name


def test_the_names_of_the_projects_files_are_those_that_nobody_typed():
    for file in CONF.rglob("*.yaml"):
        assert read_yaml(file).get("name", file.stem) == file.stem


def test_tags_are_data_and_recipes():
    assert run_names.tags(_config("demo.yaml"), "default", "lora") == ["data:demo", "recipe:default", "recipe:lora"]


@given(st.text(max_size=200))
def test_a_folder_sorts_by_time_and_is_one_folder_whatever_the_name(name):
    folder = run_names.folder_name(name, datetime(2026, 11, 26, 3, 4, 5), "abc123")
    assert folder.startswith("20261126-030405-")
    assert folder.endswith("-abc123")
    assert Path(folder).name == folder
    assert re.fullmatch(r"[A-Za-z0-9._-]{,120}", folder)


def test_the_flow_run_of_the_command_line_is_called_as_its_folder_without_the_time():
    folder = run_names.folder_name("demo-default-full-seed0", datetime.now())
    assert run_names.without_time(folder) == "demo-default-full-seed0"
    assert run_names.without_time("first") == "first"


@pytest.mark.parametrize("typed", ["hf_canaryCANARYcanary0123", "password=canary", "???"])
def test_a_name_that_cannot_be_used_is_refused_and_not_repeated(typed):
    with pytest.raises(ConfigError, match="--name: ") as refused:
        run_names.check_name(typed)
    assert typed not in str(refused.value)
