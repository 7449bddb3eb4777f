"""YAML files as plain data, with errors that name the file, the line and the fix."""

import difflib
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from genrec.errors import ConfigError
from genrec.paths import expanded
from genrec.redact import redact


class _Twice(Exception):
    """A key is written twice in one mapping."""

    def __init__(self, key: str, first: int, second: int) -> None:
        self.key, self.first, self.second = key, first, second  # lines, from 1


class _Loader(yaml.SafeLoader):
    """Plain data only, and no key twice: YAML itself forbids that, and PyYAML would take the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            line = key.start_mark.line + 1
            if (key.tag, key.value) in lines:
                raise _Twice(key.value, lines[key.tag, key.value], line)
            lines[key.tag, key.value] = line
        return super().construct_mapping(node, deep)


def read_yaml(file: Path) -> dict[str, Any]:
    """A YAML file as a mapping; nothing but plain data is ever constructed.

    Raises ConfigError. Text of the file is not repeated, but for a key that is written twice: it may be a secret.
    """
    file = Path(expanded(str(file)))
    if not file.is_file():
        folder = file.parent if file.parent.is_dir() else Path("conf")
        near = sorted(str(p) for p in folder.glob("**/*.yaml")) if folder.is_dir() else []
        hint = difflib.get_close_matches(str(file), near, n=1, cutoff=0.3)
        raise ConfigError(f"{file}: no such config file" + (f"; did you mean {hint[0]}?" if hint else ""))
    try:
        data = _Loader(file.read_text(encoding="utf-8")).get_single_data()
    except _Twice as twice:
        key = redact(twice.key) if _SETTING.fullmatch(twice.key) else "a key"
        raise ConfigError(
            f"{file}:{twice.second}: {key} is written twice, first in line {twice.first}; keep one of them, or put what "
            "they hold under one"
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}" if mark else ""
        what = _QUOTED.sub("...", getattr(error, "problem", None) or "unreadable")
        raise ConfigError(f"{file}{place}: not valid YAML: {what}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 text (byte {error.start})") from None
    except RecursionError:
        raise ConfigError(f"{file}: nested too deep; write sections and settings, as in conf/demo.yaml") from None
    except ValueError:  # of Python, for what YAML takes for a number or a date
        raise ConfigError(
            f"{file}: holds a date that is none, or a number of too many digits; correct it, or quote it where it is text"
        ) from None
    if data is None:
        raise ConfigError(f"{file}: is empty; write settings such as `name: demo` into it, or leave it out")
    if not isinstance(data, dict):
        raise ConfigError(f"{file}: expected sections like `sft:`, got {type(data).__name__}")
    return data


_QUOTED = re.compile(
    r"(?<=')[^']{2,}(?=')"
)  # what a message of the YAML parser repeats of the file, but for one character
_SETTING = re.compile(r"[A-Za-z_][\w-]*")
