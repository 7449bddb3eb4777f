"""Config: unknown keys are refused with the fix, overrides win, knobs stay out of keys."""

from pathlib import Path
from typing import Any

import pytest

from genrec.config import Config, yaml_file
from genrec.config.load import load_config
from genrec.errors import ConfigError
from genrec.store.remote import local_root, open_store

CONF = Path(__file__).parents[3] / "conf"


def _yaml(tmp_path, text, name="a.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda p: p.name)
def test_every_config_in_the_repo_loads(path):
    assert load_config([path]).name


def test_later_files_and_overrides_win(tmp_path):
    first = _yaml(tmp_path, "seed: 1\nsft: {epochs: 3, patience: 2}\n")
    second = _yaml(tmp_path, "sft: {epochs: 4}\n", "b.yaml")
    config = load_config([first, second], ["sft.patience=5", "prepare.events=[purchase]", "sft.learning_rate=1e-3"])
    assert (config.seed, config.sft.epochs, config.sft.patience) == (1, 4, 5)
    assert config.prepare.events == ["purchase"]
    assert config.sft.learning_rate == 1e-3


def test_a_setting_laid_over_a_section_that_is_written_as_one_word_leaves_the_choice(tmp_path):
    first = _yaml(tmp_path, "rl: {rollout: sample}\nsft: {view: item_tokens}\n")
    second = _yaml(
        tmp_path, "rl: {rollout: {chunk_size: 128}}\nsft: {view: {options: {instruction: Next}}}\n", "b.yaml"
    )
    config = load_config([first, second], ["rl.rollout.temperature=0.5"])
    rollout, view = config.rl.rollout, config.sft.view
    assert (rollout.mode, rollout.chunk_size, rollout.temperature) == ("sample", 128, 0.5)
    assert (view.name, view.options["instruction"]) == ("item_tokens", "Next")


def test_a_typo_names_file_setting_and_what_was_meant(tmp_path):
    path = _yaml(tmp_path, "sft: {learning_rte: 0.1}\n")
    with pytest.raises(ConfigError, match=r"a\.yaml: sft\.learning_rte: unknown setting; did you mean learning_rate\?"):
        load_config([path])


def test_a_typo_in_a_variants_options_is_explained(tmp_path):
    path = _yaml(tmp_path, "embed: {method: lsa, options: {dimm: 3}}\n")
    with pytest.raises(ConfigError, match=r"embed.*dimm: unknown setting; did you mean dim\?"):
        load_config([path])


def test_an_unknown_variant_lists_those_there_are(tmp_path):
    path = _yaml(tmp_path, "sid: {method: rqkmean}\n")
    with pytest.raises(
        ConfigError, match=r"sid\.method: there is no 'rqkmean' \(did you mean rqkmeans\?\); known: .*rqvae"
    ):
        load_config([path])


def test_a_value_out_of_bounds_or_of_the_wrong_type_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"--set sft\.epochs: sft\.epochs: .*greater than or equal to 1 \(got 0\)"):
        load_config([], ["sft.epochs=0"])
    with pytest.raises(ConfigError, match=r"sft\.epochs: .*valid integer.*\(got text\)"):
        load_config([], ["sft.epochs=many"])


def test_a_missing_file_suggests_a_near_one(tmp_path):
    _yaml(tmp_path, "", "demo.yaml")
    with pytest.raises(ConfigError, match=r"dmo\.yaml: no such config file; did you mean .*demo\.yaml"):
        load_config([tmp_path / "dmo.yaml"])


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n"])
def test_an_empty_file_is_refused_by_name(tmp_path, text):
    path = _yaml(tmp_path, text)
    with pytest.raises(ConfigError, match=r"a\.yaml: is empty"):
        load_config([_yaml(tmp_path, "seed: 1\n", "b.yaml"), path])


def test_early_checks_come_with_written_options_and_before_other_variants_are_imported(tmp_path):
    seen = []
    path = _yaml(tmp_path, "embed: {method: lsa, options: {dim: 64}}\n")
    config = load_config([path], early=seen.append)
    assert seen[0].embed == config.embed
    assert seen[0].data.options == {} != config.data.options
    with pytest.raises(ConfigError, match="dimm"):
        load_config([path], ["embed.options.dimm=3"], early=lambda config: pytest.fail("called for a wrong config"))


def test_yaml_that_wants_to_run_code_is_refused(tmp_path):
    canary = tmp_path / "canary"
    path = _yaml(tmp_path, f"name: !!python/object/apply:os.system ['touch {canary}']\n")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config([path])
    assert not canary.exists()


def test_broken_yaml_names_the_line(tmp_path):
    path = _yaml(tmp_path, "sft:\n  epochs: [1\n")
    with pytest.raises(ConfigError, match=r"a\.yaml:\d+: not valid YAML"):
        load_config([path])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seed: " + "9" * 5000, "a number of too many digits"),
        ("name: 2026-13-45", "a date that is none"),
        ("sft: " + "[" * 2000 + "]" * 2000, "nested too deep"),
    ],
)
def test_yaml_that_python_cannot_hold_is_refused_by_the_name_of_the_file(tmp_path, text, says):
    file = tmp_path / "odd.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=f"odd.yaml: .*{says}"):
        load_config([file])


def test_knobs_stay_out_of_keys_and_everything_else_is_in():
    plain = Config().rl.key_slice()
    assert load_config([], ["rl.num_rollout_workers=7"]).rl.key_slice() == plain
    assert load_config([], ["rl.group_size=8"]).rl.key_slice() != plain
    assert load_config([], ["rl.rewards=[exact_hit]"]).rl.key_slice() != plain


def test_a_setting_that_came_later_leaves_the_keys_of_before_as_they_were():
    plain = Config().evaluate.key_slice()
    assert "compile" not in plain
    assert load_config([], ["evaluate.compile=true"]).evaluate.key_slice() == {**plain, "compile": True}


def test_a_micro_batch_is_a_number_or_left_to_the_memory(tmp_path):
    for section in ("sft", "rl"):
        chosen = load_config([], [f"{section}.micro_batch_size=auto"])
        assert getattr(chosen, section).micro_batch_size == "auto"
        assert getattr(load_config([], [f"{section}.micro_batch_size=7"]), section).key_slice()["micro_batch_size"] == 7
        with pytest.raises(ConfigError, match=f"{section}.micro_batch_size"):
            load_config([], [f"{section}.micro_batch_size=0"])


def test_switching_the_variant_drops_the_options_of_the_other(tmp_path):
    path = _yaml(tmp_path, "embed: {method: lsa, options: {dim: 64}}\n")
    config = load_config([path], ["embed.method=transformer"])
    assert "dim" not in config.embed.options
    assert config.embed.options["model"]


@pytest.mark.parametrize(
    ("files", "overrides"),
    [
        ([], ["data.path=shop"]),
        ([CONF / "demo.yaml"], ["data.path=shop"]),
        ([CONF / "table.yaml"], ["data.source=synthetic"]),
        ([CONF / "table.yaml"], ["data={source: synthetic, path: shop}"]),
    ],
)
def test_a_path_that_the_source_does_not_read_is_refused_and_both_are_named(files, overrides):
    with pytest.raises(ConfigError) as refused:
        load_config(files, overrides)
    (line,) = str(refused.value).splitlines()
    assert "data.path is set, but data.source synthetic makes its own data" in line
    assert "data.source to table" in line


@pytest.mark.parametrize("order", [1, -1])
def test_options_that_the_chosen_source_does_not_read_are_refused_in_whichever_order_they_were_written(order):
    given = ["data.source=table", "data.options.num_users=300"][::order]
    with pytest.raises(ConfigError, match=r"data\.options\.num_users: unknown setting"):
        load_config([CONF / "demo.yaml"], given)


def test_the_config_survives_a_round_trip_as_plain_data():
    config = load_config([], ["rl.rewards=[exact_hit]"])
    assert Config.model_validate(config.model_dump(mode="json")) == config


def test_a_preset_lies_over_the_files_and_under_single_settings(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("sft: {epochs: 30, patience: 3}\n")
    quick = load_config([path], ["preset=quick", "rl.num_steps=7"])
    assert quick.sft.epochs < 30
    assert (quick.sft.patience, quick.rl.num_steps) == (3, 7)
    assert quick.evaluate.sample_users == 20_000
    assert load_config([path], ["preset=quick", "evaluate.sample_users=0"]).evaluate.sample_users == 0
    assert load_config([path], ["sft.epochs=9", "preset=quick"]).sft.epochs == 9
    assert load_config([path]).sft.epochs == 30
    path.write_text("preset: quick\n")
    assert load_config([path]).sft == quick.sft.model_copy(update={"patience": 8})
    with pytest.raises(ConfigError, match="preset"):
        load_config([path], ["preset=fast"])


@pytest.mark.parametrize(
    "text", ["sft: {epochs: 3}\nrl: {}\nsft: {patience: 2}\n", "sft:\n  epochs: 3\n\n  epochs: 4\n"]
)
def test_a_section_or_key_that_is_written_twice_is_refused_with_both_lines(tmp_path, text):
    lines = [n for n, line in enumerate(text.splitlines(), 1) if "sft: {" in line or "epochs: " in line]
    with pytest.raises(ConfigError, match=rf"a\.yaml:{lines[-1]}: \w+ is written twice, first in line {lines[0]}"):
        load_config([_yaml(tmp_path, text)])


def test_a_key_that_yaml_merges_in_is_not_written_twice(tmp_path):
    path = _yaml(tmp_path, "sft: &base {epochs: 3, patience: 2}\nresources: {sft: {}}\n")
    assert load_config([path]).sft.epochs == 3
    assert yaml_file.read_yaml(_yaml(tmp_path, "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: *a\n"))["b"] == {
        "x": 3,
        "y": 2,
    }


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("data.path=/x/Shop #2", "/x/Shop #2"),
        ("data.path=2023", "2023"),
        ("data.path=1e3", "1e3"),
        ("data.path=yes", "yes"),
        ("data.path=[a]: {b}", "[a]: {b}"),
        ("data.path=2026-09-13", "2026-09-13"),
        ("data.path=", ""),
        ("data.path=null", None),
        ('data.path="a\\"b"', 'a"b'),
        ("data.path='", "'"),
        ("data.path=~/x", "/home/someone/x"),
        ("data.path=a=b", "a=b"),
        ("data.options.delimiter=|", "|"),
        ("data.options.delimiter=#", "#"),
        ("data.options.delimiter=\t", "\t"),
        ("data.options.timestamp_unit=s", "s"),
        ("data.options.ignore=[a, b]", ("a", "b")),
        ("data.max_quarantine_share=1e-3", 1e-3),
        ("store=~", "/home/someone"),
        ("store=s3://bucket/~x", "s3://bucket/~x"),
        ("base.model=~/model", "/home/someone/model"),
        ("base.revision=0123", "0123"),
        ("base.revision=null", None),
    ],
)
def test_the_value_of_a_text_setting_is_taken_as_it_is(monkeypatch, override, value):
    monkeypatch.setenv("HOME", "/home/someone")
    config: Any = load_config([], ["data.source=table", override])
    for part in override.partition("=")[0].split("."):
        config = config[part] if isinstance(config, dict) else getattr(config, part)
    assert config == value


def test_the_source_that_a_later_override_chooses_says_what_is_text():
    assert load_config([], ["data.options.delimiter=|", "data.source=table"]).data.options["delimiter"] == "|"


def test_a_home_folder_is_meant_wherever_a_path_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    _yaml(
        tmp_path, "store: ~/store\ndata: {source: table, path: ~/data}\nembed: {method: ready, options: {path: ~/v}}\n"
    )
    config = load_config([Path("~/a.yaml")], ["base.model=~/m"])
    assert [config.store, config.data.path, config.embed.options["path"], config.base.model] == [
        str(tmp_path / name) for name in ("store", "data", "v", "m")
    ]
    assert local_root("~/store") == open_store("~/store").root == tmp_path / "store"
    monkeypatch.setenv("GENREC_STAGING", "~/staging")
    assert local_root("s3://bucket/x").parent == tmp_path / "staging"


@pytest.mark.parametrize("empty", ["store=", 'store=""', 'store=" "'])
def test_an_empty_store_is_refused_and_is_not_the_folder_of_the_command(empty):
    with pytest.raises(ConfigError, match=r"store: .*a folder or a URL is meant, such as \.genrec"):
        load_config([CONF / "demo.yaml"], [empty])
