"""Parts of the operating side on their own: password, recipes, forms."""

import pytest

from flows import recipes
from flows.serve.credentials import auth_string, password_file
from flows.serve.forms import AS_CHOSEN, CONF, DATA, PROMOTE, overrides_of, settings_of
from flows.serve.server import only_one, served
from genrec import variants
from genrec.config import Config
from genrec.errors import GenrecError


def test_a_password_is_made_once_and_read_again(tmp_path):
    made, new = auth_string(tmp_path / "prefect")
    assert new
    assert auth_string(tmp_path / "prefect") == (made, False)
    assert auth_string(tmp_path / "other")[0] != made


def test_a_password_that_others_can_read_is_refused(tmp_path):
    auth_string(tmp_path)
    password_file(tmp_path).chmod(0o644)
    with pytest.raises(GenrecError, match="others can read the password"):
        auth_string(tmp_path)


def test_one_serve_a_store_and_others_find_it(tmp_path):
    assert served(tmp_path) is None
    with only_one(tmp_path, "http://127.0.0.1:1"):
        assert served(tmp_path) == "http://127.0.0.1:1"
        with pytest.raises(GenrecError, match="served already: http"), only_one(tmp_path, "x"):
            pass
    assert served(tmp_path) is None


@pytest.mark.parametrize("recipe", recipes.names())
@pytest.mark.parametrize("data", DATA)
def test_every_recipe_fits_all_data_and_explicit_settings_win(data, recipe):
    files, chosen = DATA[data]
    config = recipes.apply(recipe, files, [*chosen, "rl.num_steps=3"])
    assert config.rl.num_steps == 3
    assert f"- `{recipe}`: " in recipes.in_lines()


def test_every_config_that_stands_alone_is_data_to_choose():
    files = {file.stem for files, _ in DATA.values() for file in files}
    assert {p.stem for p in CONF.glob("*.yaml")} - files <= {"a100", "cpu", "generative"}


def test_every_source_can_be_chosen_as_data():
    chosen = {recipes.apply("default", files, more).data.source for files, more in DATA.values()}
    assert chosen == set(variants.names("genrec.data.sources"))


def test_every_rule_of_promotion_can_be_chosen():
    rules = {
        recipes.apply("default", [], [f"service.promote={rule}"]).service.promote for rule in PROMOTE.values() if rule
    }
    assert rules | {Config().service.promote} == {"never", "if_not_worse", "if_better"}


def test_only_fields_that_were_filled_in_become_settings():
    fields = settings_of(seed=None, data__path="", evaluate__seen_items=AS_CHOSEN, sft__epochs=0, a__b="x y")
    assert fields == {"sft.epochs": 0, "a.b": "x y"}
    assert overrides_of(fields, ["rl.num_steps=3"]) == ["sft.epochs=0", 'a.b="x y"', "rl.num_steps=3"]
