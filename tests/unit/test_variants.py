"""Variants are the modules of a package, each with a frozen dataclass `Config` of its own; what is broken is named."""

import subprocess
import sys
import textwrap

import pytest

from genrec import variants
from genrec.config.load import load_config
from genrec.config.section import Chosen
from genrec.errors import ConfigError, GenrecError

CONFIG = "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Config:\n    size: int = 3\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes modules into a package of its own; returns the package's name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"room_{tmp_path.name}".replace("-", "_")

    def write(**modules: str) -> str:
        (tmp_path / name).mkdir()
        for module, text in {"__init__": "", **modules}.items():
            (tmp_path / name / f"{module}.py").write_text(textwrap.dedent(text))
        return name

    yield write
    for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
        del sys.modules[module]


def packages_of_variants():
    def below(section):
        return {s for direct in section.__subclasses__() for s in (direct, *below(direct))}

    return sorted({section.variant_package for section in below(Chosen)})


@pytest.mark.parametrize("name", packages_of_variants())
def test_every_package_a_config_chooses_from_has_variants_that_can_be_built_with_defaults(name):
    listed = variants.names(name)
    assert listed
    for variant in listed:
        module, config = variants.build(name, variant, {})
        assert module.__name__ == f"{name}.{variant}"
        assert type(config).__module__ == module.__name__


def test_every_module_of_a_package_is_a_variant_under_its_name(package):
    name = package(first=CONFIG, second=CONFIG)
    assert variants.names(name) == ("first", "second")
    assert variants.build(name, "first", {"size": 5})[1].size == 5


def test_a_broken_module_is_no_obstacle_to_the_others(package):
    name = package(first=CONFIG, broken="def fit(:\n")
    assert variants.names(name) == ("broken", "first")
    assert variants.build(name, "first", {})[1].size == 3


def test_listing_imports_no_variant_and_choosing_one_imports_no_other(package):
    name = package(first=CONFIG, second=CONFIG)
    assert variants.names(name) == ("first", "second")
    assert not {f"{name}.first", f"{name}.second"} & set(sys.modules)
    variants.load(name, "second")
    assert f"{name}.first" not in sys.modules


def test_a_name_that_is_not_listed_is_not_loaded(package):
    name = package(first=CONFIG)
    for wrong in ("missing", "first.Config", "../first"):
        with pytest.raises(KeyError):
            variants.load(name, wrong)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("import no_such_library_at_all\n", "ModuleNotFoundError: .*no_such_library_at_all", id="import"),
        pytest.param("def fit(:\n", "SyntaxError", id="syntax"),
        pytest.param("Config = undefined\n", "NameError.*undefined", id="name"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_with_the_cause(package, text, why):
    name = package(first=CONFIG, broken=text)
    with pytest.raises(variants.BrokenVariant, match=rf"{name}\.broken cannot be imported \({why}") as caught:
        variants.load(name, "broken")
    assert isinstance(caught.value, GenrecError)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("SIZE = 3\n", id="none"),
        pytest.param("from genrec.recall.itemcf import Config\n", id="of another module"),
        pytest.param("class Config:\n    size = 3\n", id="plain class"),
        pytest.param(CONFIG.replace("(frozen=True)", ""), id="not frozen"),
        pytest.param(CONFIG + "Base = Config\nclass Config(Base):\n    more = 1\n", id="inherits alone"),
    ],
)
def test_a_config_that_is_no_frozen_dataclass_is_named(package, text):
    name = package(broken=text)
    with pytest.raises(variants.BrokenVariant, match=rf"{name}\.broken: needs a Config of its own, a frozen dataclass"):
        variants.load(name, "broken")


def test_the_config_reports_a_broken_variant_and_not_an_unknown_name(package, monkeypatch):
    name = package(broken="import no_such_library_at_all\n")
    from genrec.config import SidConfig

    monkeypatch.setattr(SidConfig, "variant_package", name)
    with pytest.raises(variants.BrokenVariant, match=rf"{name}\.broken"):
        load_config([], ["sid.method=broken"])


def test_a_module_is_no_package(package):
    with pytest.raises(ValueError, match=r"genrec\.errors is not a package"):
        variants.names("genrec.errors")


def test_an_unknown_name_in_a_config_lists_the_variants():
    with pytest.raises(ConfigError, match="known: rqkmeans, rqkmeans_balanced, rqvae, rqvae_ema"):
        load_config([], ["sid.method=parts"])


def _loaded(code: str, *libraries: str) -> set[str]:
    code = f"{code}\nimport sys; print(*({set(libraries)} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_the_schema_loads_no_heavy_library():
    assert _loaded("import genrec.config", "torch", "transformers", "pyarrow", "scipy") == set()


def test_checking_a_config_loads_none_of_the_libraries_that_single_variants_use():
    assert _loaded("from genrec.config import Config; Config()", "faiss", "gensim", "implicit", "sklearn") == set()


HEAVY = ("torch", "transformers", "polars", "pyarrow", "scipy", "prefect", "ray")


@pytest.mark.parametrize(
    ("override", "loaded"),
    [
        pytest.param("sft.learning_rte=1", set(), id="setting"),
        pytest.param("sft.epochs=many", set(), id="value"),
        pytest.param("sid.method=rqkmean", set(), id="variant"),
        pytest.param("sid.options.sizes=1", {"torch"}, id="option of a tokenizer"),
        pytest.param("sft.view.options.sizes=1", {"torch"}, id="option of a view"),
        pytest.param("embed.options.sizes=1", {"pyarrow"}, id="option of an encoder"),
    ],
)
def test_a_mistake_is_found_before_anything_is_imported_that_is_not_needed_for_it(override, loaded):
    code = f"""
from genrec.config.load import load_config
from genrec.errors import ConfigError
try:
    load_config([], [{override!r}])
except ConfigError:
    pass
else:
    raise SystemExit("no error")
"""
    assert _loaded(code, *HEAVY) == loaded
