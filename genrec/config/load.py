"""From YAML files and `--set a.b=c` to a checked `Config`, with errors that name the file, the setting and the fix."""

import contextlib
import difflib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from genrec.config import Chosen, Config, OptionsError, UnknownName, options_model
from genrec.config.presets import PRESETS
from genrec.config.section import Depth, checked_to
from genrec.errors import ConfigError
from genrec.redact import redact, settings_with_secrets


def load_config(
    files: list[Path], overrides: list[str] | None = None, early: Callable[[Config], None] = lambda config: None
) -> Config:
    """Merge YAML files left to right, then the preset, then the overrides `section.setting=value` (the value is YAML).

    early: see `validate`. Raises ConfigError naming the file or override, the setting and, for a typo, what was meant.
    Text that was given is never repeated: it may be a secret in the wrong place.
    """
    merged: dict[str, Any] = {}
    origin: dict[tuple[str, ...], str] = {}
    for file in files:
        merged = _merge(merged, read_yaml(file), origin, str(file))
    parsed = [_parse_override(override, number) for number, override in enumerate(overrides or [], 1)]
    # A variant is chosen before its options are set, in whichever order they were written: else these were dropped.
    parsed.sort(key=lambda one: not _chooses(one[0]))
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
    for number, override in enumerate(overrides, 1):
        above, source = _parse_override(override, number)
        data = _merge(data, above, origin, source)
    return validate(data, origin)


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


def read_yaml(file: Path) -> dict[str, Any]:
    """A YAML file as a mapping; nothing but plain data is ever constructed (`yaml.safe_load`)."""
    if not file.is_file():
        folder = file.parent if file.parent.is_dir() else Path("conf")
        near = sorted(str(p) for p in folder.glob("**/*.yaml")) if folder.is_dir() else []
        hint = difflib.get_close_matches(str(file), near, n=1, cutoff=0.3)
        raise ConfigError(f"{file}: no such config file" + (f"; did you mean {hint[0]}?" if hint else ""))
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}" if mark else ""
        what = _QUOTED.sub("...", getattr(error, "problem", None) or "unreadable")
        raise ConfigError(f"{file}{place}: not valid YAML: {what}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 text (byte {error.start})") from None
    if data is None:
        raise ConfigError(f"{file}: is empty; write settings such as `name: demo` into it, or leave it out")
    if not isinstance(data, dict):
        raise ConfigError(f"{file}: expected sections like `sft:`, got {type(data).__name__}")
    return data


_QUOTED = re.compile(
    r"(?<=')[^']{2,}(?=')"
)  # what a message of the YAML parser repeats of the file, but for one character


def _parse_override(override: str, number: int) -> tuple[dict[str, Any], str]:
    """The setting as nested data, and how messages call it. `number`: of the override, from 1."""
    path, equals, text = override.partition("=")
    if not equals or not _SETTING.fullmatch(path.strip()):
        raise ConfigError(f"--set, number {number}: write section.setting=value, such as sft.epochs=10")
    source = redact(f"--set {path.strip()}")
    try:
        value = yaml.safe_load(text) if text else ""
    except yaml.YAMLError:
        raise ConfigError(f"{source}: the value is not YAML; quote it") from None
    if isinstance(value, str):  # YAML 1.1 reads 1e-3 as text
        with contextlib.suppress(ValueError):
            value = float(value) if any(c.isdigit() for c in value) else value
    nested: Any = value
    for part in reversed(path.strip().split(".")):
        nested = {part: nested}
    return nested, source


def _chooses(nested: dict[str, Any]) -> bool:
    """Whether an override is that of the name of a variant, such as data.source."""
    ((name, value),) = nested.items()
    return _chooses(value) if isinstance(value, dict) and len(value) == 1 else name in _CHOICES


_SETTING = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)*")  # a name, dotted
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
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merge(merged[key], value, origin, source, path)
        elif isinstance(value, dict):
            merged[key] = _merge({}, value, origin, source, path)
        else:
            merged[key] = value
    return merged


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
        known = _known_names(location[:-1], data)
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


def _known_names(section: tuple[str, ...], data: dict[str, Any]) -> list[str]:
    """The settings a section has; for `...options`, those of the variant that the data chooses."""
    model: type[BaseModel] = Config
    given: Any = data
    for part in section:
        if part == "options" and issubclass(model, Chosen):
            field = model.variant_field
            name = given.get(field) if isinstance(given, dict) else None
            model = options_model(model.variant_package, str(name or model.model_fields[field].default))
        elif part.isdigit():
            given = given[int(part)] if isinstance(given, list) else {}
        elif part in model.model_fields:
            model = _section_type(model.model_fields[part].annotation) or model
            given = given.get(part, {}) if isinstance(given, dict) else {}
    return list(model.model_fields)


def _section_type(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((section for a in get_args(annotation) if (section := _section_type(a))), None)
