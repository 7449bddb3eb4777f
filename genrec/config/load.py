"""From YAML files and `--set a.b=c` to a checked `Config`, with errors that name the file, the setting and the fix."""

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BeforeValidator, ValidationError

from genrec.config import Config, OptionsError, UnknownName
from genrec.config.overrides import parse_override
from genrec.config.presets import PRESETS
from genrec.config.schema import section_at
from genrec.config.section import Depth, checked_to
from genrec.config.yaml_file import read_yaml
from genrec.errors import ConfigError
from genrec.redact import redact, settings_with_secrets


def load_config(
    files: list[Path], overrides: list[str] | None = None, early: Callable[[Config], None] = lambda config: None
) -> Config:
    """Merge YAML files left to right, then the preset, then the overrides `section.setting=value`.

    early: see `validate`. Raises ConfigError naming the file or override, the setting and, for a typo, what was meant.
    Text that was given is never repeated: it may be a secret in the wrong place.
    """
    merged: dict[str, Any] = {}
    origin: dict[tuple[str, ...], str] = {}
    for file in files:
        merged = _merge(merged, read_yaml(file), origin, str(file))
    parsed = _parsed(overrides or [], merged)
    name = next((data["preset"] for data, _ in reversed(parsed) if "preset" in data), merged.get("preset", "full"))
    merged = _merge(merged, PRESETS.get(str(name), {}), origin, f"preset {name}")
    for data, source in parsed:
        merged = _merge(merged, data, origin, source)
    return validate(merged, origin, early)


def changed(data: dict[str, Any], overrides: list[str]) -> Config:
    """The config of a finished run, as plain data, with overrides; its `preset` is in its settings already.

    Raises ConfigError as `load_config` does.
    """
    origin: dict[tuple[str, ...], str] = {}
    for above, source in _parsed(overrides, data):
        data = _merge(data, above, origin, source)
    return validate(data, origin)


def _parsed(overrides: list[str], below: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Overrides as nested data, with what messages call each; `below`: the settings that they override.

    A variant is chosen before its options are set, in whichever order they were written: else these were dropped.
    """
    given = [parse_override(override, number) for number, override in enumerate(overrides, 1)]
    given.sort(key=lambda override: not _chooses(override.nested(override.guess())))
    for override in given:
        below = _merge(below, override.nested(override.guess()), {}, "")
    return [(override.nested(override.value(below)), override.source) for override in given]


def validate(
    data: dict[str, Any],
    origin: dict[tuple[str, ...], str] | None = None,
    early: Callable[[Config], None] = lambda config: None,
) -> Config:
    """Check plain data against the schema. Raises ConfigError with one line for each problem.

    What is quick to check comes first: plain settings and the names of variants, then the options that are written
    down, and last the defaults of all other variants, for which these are imported. `early` is called before that last
    step, with a config that lacks just those defaults, for checks of its own.

    Secrets are refused: a config goes into manifests, reports and the Prefect database.
    """
    if secret := settings_with_secrets(data):
        raise ConfigError(
            f"{', '.join(secret)}: holds a secret (a token, a password in a URL, or the value of a variable such as "
            "HF_TOKEN); leave it to the environment of the machine that needs it"
        )
    _checked(data, origin or {}, "names")
    early(_checked(data, origin or {}, "written"))
    return _checked(data, origin or {}, "all")


def _checked(data: dict[str, Any], origin: dict[tuple[str, ...], str], depth: Depth) -> Config:
    try:
        with checked_to(depth):
            return Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError(redact("\n".join(_explain(p, data, origin) for p in _problems(error)))) from None


def _problems(error: ValidationError) -> list[Any]:
    """The problems of a validation, those of a variant's options put in their place."""
    problems: list[Any] = []
    for problem in error.errors(include_url=False):
        cause = (problem.get("ctx") or {}).get("error")
        if isinstance(cause, OptionsError):
            problems += [
                {**inner, "loc": (*problem["loc"], "options", *inner["loc"])} for inner in _problems(cause.problems)
            ]
        else:
            problems.append(problem)
    return problems


def _chooses(nested: dict[str, Any]) -> bool:
    """Whether an override is that of the name of a variant, such as data.source."""
    ((name, value),) = nested.items()
    return _chooses(value) if isinstance(value, dict) and len(value) == 1 else name in _CHOICES


_CHOICES = {"source", "method", "algorithm", "name"}


def _merge(
    below: dict[str, Any],
    above: dict[str, Any],
    origin: dict[tuple[str, ...], str],
    source: str,
    at: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Deep merge; a section whose variant changes drops the options written for the old one."""
    merged = dict(below)
    if any(c in above and c in below and above[c] != below[c] for c in _CHOICES):
        merged.pop("options", None)
    for key, value in above.items():
        path = (*at, str(key))
        origin[path] = source
        if isinstance(value, dict) and isinstance(merged.get(key), str):
            merged[key] = _written_out(path, merged[key])
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merge(merged[key], value, origin, source, path)
        elif isinstance(value, dict):
            merged[key] = _merge({}, value, origin, source, path)
        else:
            merged[key] = value
    return merged


def _written_out(path: tuple[str, ...], text: str) -> Any:
    """A text that is short for a section (`rollout: sample`) as that section: what is laid over it keeps the choice."""
    field = section_at(path[:-1], {}).model_fields.get(path[-1]) if "options" not in path else None
    short = [rule.func for rule in field.metadata if isinstance(rule, BeforeValidator)] if field else []
    return short[0](text) if short else text  # type: ignore[call-arg]


def _explain(problem: Any, data: dict[str, Any], origin: dict[tuple[str, ...], str]) -> str:
    """One line: where it was written, which setting, what is wrong, what was meant."""
    location = tuple(str(part) for part in problem["loc"])
    cause = (problem.get("ctx") or {}).get("error")
    if isinstance(cause, UnknownName):
        near = difflib.get_close_matches(cause.name, cause.known, n=1)
        location = (*location, cause.field)
        what = f"there is no {cause.name!r} (did you mean {near[0]}?)" if near else "there is none of that name"
        what += f"; known: {', '.join(cause.known)}"
    elif isinstance(cause, ValueError) and isinstance(problem["input"], dict):  # settings of a section contradict
        what = str(cause)
    elif problem["type"] == "extra_forbidden":
        known = list(section_at(location[:-1], data).model_fields)
        near = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
        what = "unknown setting" + (f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}")
    else:
        what = f"{problem['msg']} (got {_shown(problem['input'])})"
    source = next((origin[location[:n]] for n in range(len(location), 0, -1) if location[:n] in origin), None)
    return f"{source + ': ' if source else ''}{'.'.join(location)}: {what}"


def _shown(value: Any) -> str:
    """A value for a message: numbers as they are, of anything else its kind."""
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    kinds: dict[type, str] = {str: "text", list: "a list", dict: "a mapping"}
    return kinds.get(type(value), type(value).__name__)
