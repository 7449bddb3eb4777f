"""The fields of the forms in the Prefect UI: drop-downs, bounds, and descriptions for someone new to the project."""

import inspect
import json
import typing
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from prefect import flow
from pydantic import Field
from pydantic.fields import FieldInfo

from flows import recipes
from flows.interrupts import cancelled_when_stopped
from flows.serve.patterns import WITHOUT_SECRETS, refused_unless, setting_names
from genrec import variants
from genrec.redact import without_secrets
from tasks.run import STAGES

CONF = Path(__file__).parents[2] / "conf"
AS_IN_PRESET: Final = "as in preset"
PRESETS = ("demo", "table", "amazon2023")

if TYPE_CHECKING:
    _Preset: TypeAlias = str
    _Source: TypeAlias = str
    _Recipe: TypeAlias = str
    _Stage: TypeAlias = str
else:
    _Preset = Literal[PRESETS]
    _Source = Literal[AS_IN_PRESET, *variants.names("genrec.data.sources")]
    _Recipe = Literal[recipes.names()]
    _Stage = Literal[STAGES]

Preset = Annotated[
    _Preset,
    Field(
        description="Settings to start from. demo: a small synthetic shop, done in minutes, needs no data. table: your "
        "own events and items as Parquet or CSV. amazon2023: one category of Amazon Reviews 2023."
    ),
]
Source = Annotated[
    _Source,
    Field(
        description="Format of the data; `as in preset` is right unless the data is of another kind than the preset's."
    ),
]
DataPath = Annotated[
    str,
    Field(
        description="Folder with the data, on the machine that runs the stages. Empty: the preset's; the demo preset "
        "makes its own data. Passwords do not belong in it, but in the environment of that machine.",
        json_schema_extra=refused_unless(f"^{WITHOUT_SECRETS}", "a folder or URL without a password or token"),
    ),
]
Recipe = Annotated[
    _Recipe,
    Field(description="How to train. " + "; ".join(f"{n}: {w}" for n, w in recipes.IN_WORDS.items()) + "."),
]
Recipes = Annotated[
    list[_Recipe],
    Field(min_length=1, max_length=10, description="The ways to train that are compared."),
]
Seed = Annotated[
    int,
    Field(ge=0, le=2**31 - 1, description="Seed of training: the same seed and data give the same model."),
]
Seeds = Annotated[
    int, Field(ge=1, le=100, description="Runs of each recipe, with seeds in a row: figures are means over them.")
]
Refresh = Annotated[
    list[_Stage],
    Field(
        description="Stages to compute again although their result is stored. Normally empty: a stage whose data or "
        "settings changed is computed by itself."
    ),
]
Until = Annotated[_Stage, Field(description="Stop after this stage. evaluate is the last: nothing is left out.")]
Epochs = Annotated[
    int, Field(ge=0, le=10_000, description="Passes over the users in fine-tuning, at most. 0: as in the preset.")
]
RlSteps = Annotated[
    int,
    Field(
        ge=-1,
        le=1_000_000,
        description="Updates of reinforcement learning, at most. 0: none at all. -1: as in the preset.",
    ),
]
TakeOver = Annotated[
    list[Literal["vectors", "ids", "weights"]],
    Field(
        description="What to take over from the model in service. vectors: of texts that did not change. ids: of known "
        "items, while their codebooks fit. weights: train on from that model (needs ids). Empty: start afresh."
    ),
]
Promote = Annotated[
    bool,
    Field(
        description="Put the new model in service at the end unless it is worse beyond chance on the same validation rows."
    ),
]
BeamWidth = Annotated[
    int, Field(ge=0, le=1000, description="Recommendations searched for each user (beams). 0: as in the preset.")
]
SeenItems = Annotated[
    Literal["as in preset", "drop", "keep"],
    Field(description="Whether items that a user already had may be recommended to them (keep) or not (drop)."),
]
Resamples = Annotated[
    int, Field(ge=0, le=100_000, description="Resamples behind the confidence intervals. 0: as in the preset.")
]
AgainAlthoughStored = Annotated[bool, Field(description="Measure again although the same figures are stored.")]
Setting = Annotated[
    str,
    Field(
        json_schema_extra=refused_unless(
            f"^{WITHOUT_SECRETS}{setting_names()} *=",
            "write section.setting=value (conf/README.md lists the settings; no passwords or tokens)",
        )
    ),
]
Settings = Annotated[
    list[Setting],
    Field(
        description="Any further settings, one a line, as section.setting=value. conf/README.md lists all. Passwords and "
        "tokens are refused: they belong in the environment of the machine that runs the stages."
    ),
]


def settings_of(**fields: object) -> list[str]:
    """Overrides of the fields that were filled in: `sft__epochs=3` becomes `sft.epochs=3`."""
    return [f"{n.replace('__', '.')}={json.dumps(v)}" for n, v in fields.items() if v not in (None, "", AS_IN_PRESET)]


def form(name: str, flow_run_name: str) -> Callable[[Callable[..., None]], Any]:
    """A flow whose form shows the descriptions of its parameters' types.

    Prefect takes descriptions from an `Args:` section of the docstring, and not from `Annotated`: so make one of them.
    """

    def decorate(function: Callable[..., None]) -> Any:
        what = inspect.getdoc(function) or ""
        lines = []
        for parameter, hint in typing.get_type_hints(function, include_extras=True).items():
            field = next((m for m in typing.get_args(hint) if isinstance(m, FieldInfo)), None)
            if field and field.description:
                lines.append(f"    {parameter}: {field.description}")
        function.__doc__ = "\n".join([what, "", "Args:", *lines])
        return flow(name=name, flow_run_name=flow_run_name, description=what, persist_result=False)(
            cancelled_when_stopped(without_secrets()(function))
        )

    return decorate
