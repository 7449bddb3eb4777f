"""The command `plan`: what a config needs of a GPU, without one."""

import json
import warnings
from typing import Any

from rich.console import Console

from flows.finished import finished_report
from flows.stores import at_url
from genrec.config import Config
from genrec.errors import ConfigError
from genrec.store.remote import local_root

_GIB = 2**30


def show(
    out: Console, config: Config, sizes: dict[str, int | None], run: str, gpu: int, mfu: list[str], form: str
) -> None:
    """Print the plan in a form: text, json, or markdown (a row of a table). `sizes` are those of `genrec.plan.work.Work`; None: those of the `run`, where one is given, else the
    default.
    """
    if run:
        data = finished_report(local_root(config.store), run, at_url(config.store))["data"]
        sizes = {**sizes, **{name: sizes[name] or int(data[name]) for name in ("users", "items")}}
    made = make(config, sizes, gpu, mfu)
    if form == "json":
        print(json.dumps(made, indent=1))
    else:
        for line in lines(made) if form == "text" else rows([made]):
            out.print(line, markup=False, soft_wrap=True)


def make(config: Config, sizes: dict[str, int | None], gpu: int, mfu: list[str]) -> dict[str, Any]:
    """`genrec.plan.report.plan` of what was asked for. Raises ConfigError."""
    from genrec.plan.gpus import gpu as gpu_of
    from genrec.plan.work import Work

    device, shares = gpu_of(gpu), _shares(mfu)
    defaults = {"history": config.prepare.max_history}
    work = Work(**{**defaults, **{name: value for name, value in sizes.items() if value is not None}})
    from genrec.plan.report import plan  # after what is quick to check: it imports torch

    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    return plan(config, work, device, shares)


def _shares(given: list[str]) -> dict[str, float]:
    """`part=share` texts as numbers."""
    from genrec.plan.report import MFU

    shares = {}
    for text in given:
        name, _, value = text.partition("=")
        if name not in MFU:
            raise ConfigError(f"--mfu: write PART=SHARE with a part of {', '.join(MFU)}")
        try:
            shares[name] = float(value)
        except ValueError:
            raise ConfigError(f"--mfu {name}: a share between 0 and 1 is meant") from None
        if not 0 < shares[name] <= 1:
            raise ConfigError(f"--mfu {name}: a share between 0 and 1 is meant")
    return shares


def lines(made: dict[str, Any]) -> list[str]:
    """The plan as text."""
    work = made["work"]
    text = [
        f"{made['config']} on one {made['gpu']}: {work['users']:,} users, {work['items']:,} items, histories of "
        f"{work['history']}, texts of {work['text_tokens']} tokens"
    ]
    text += [f"  {setting}: {model}" for setting, model in made["models"].items()]
    for stage in made["stages"]:
        text += _stage(stage)
    text.append(f"without a language model on the GPU: {', '.join(made['without_model'])}")
    text += [f"warning  {warning}" for warning in made["warnings"]]
    return text


def rows(plans: list[dict[str, Any]]) -> list[str]:
    """A table in Markdown with a row for each plan: the peak of every stage, in GiB, and its time."""
    text = [
        "| config | embed | sft | rl: learner + rollout | evaluate | fits 24 / 40 / 80 / 141 GB | time |",
        "|---|---|---|---|---|---|---|",
    ]
    for made in plans:
        stages = {stage["name"]: stage for stage in made["stages"]}
        cells = [_cell(stages.get(name)) for name in ("embed", "sft", "rl", "evaluate")]
        fit = " / ".join(_fits_all(made["stages"], size) for size in made["stages"][0]["fits"])
        seconds = sum(part["seconds"] for stage in made["stages"] for part in stage["parts"])
        text.append(f"| {made['config']} | {' | '.join(cells)} | {fit} | {_time(seconds)} |")
    return text


def _cell(stage: dict[str, Any] | None) -> str:
    if stage is None:
        return ""
    peaks = " + ".join(f"{process['peak_bytes'] / _GIB:.1f}" for process in stage["processes"])
    return peaks if stage["name"] in ("embed", "evaluate") else f"{peaks} (micro-batch {stage['batch']})"


def _fits_all(stages: list[dict[str, Any]], size: Any) -> str:
    found = [stage["fits"][size]["processes"] for stage in stages]
    return "no" if None in found else "yes" if max(found) == 1 else f"{max(found)} processes"


def _stage(stage: dict[str, Any]) -> list[str]:
    text = [f"{stage['name']} ({stage['setting']} {stage['batch']:,})"]
    for process in stage["processes"]:
        shown = {kind: f"{size / _GIB:.2f}" for kind, size in process["kinds_bytes"].items()}
        kinds = ", ".join(f"{kind} {size}" for kind, size in shown.items() if size != "0.00")
        text.append(f"  {process['name']}: {process['peak_bytes'] / _GIB:.1f} GiB ({kinds})")
    for part in stage["parts"]:
        text.append(
            f"  {part['name']}: {part['tokens'] / 1e6:,.1f} million tokens, {part['operations'] / 1e15:,.1f} PFLOP, "
            f"{_time(part['seconds'])} at MFU {part['mfu']:.0%} in {part['precision']}"
        )
    text.append("  fits: " + "; ".join(f"{size} GB {_fit(found)}" for size, found in stage["fits"].items()))
    return [*text, *(f"  note: {note}" for note in stage["notes"])]


def _fit(found: dict[str, Any]) -> str:
    if found["processes"] is None:
        return "no"
    if found["processes"] == 1:
        return "yes"
    return f"with {found['processes']} processes, sharding {found['sharding']}"


def _time(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
