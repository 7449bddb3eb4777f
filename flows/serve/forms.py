"""The fields of the forms in the Prefect UI: drop-downs, bounds, and descriptions for someone new to the project."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field

from flows import recipes
from flows.serve.patterns import WITHOUT_SECRETS, refused_unless, setting_schema
from genrec import variants
from genrec.config.data import SOURCES
from genrec.config.presets import PRESETS
from genrec.errors import ConfigError
from tasks.run import STAGES

CONF = Path(__file__).parents[2] / "conf"
AS_CHOSEN: Final = "as chosen"
# What is read: files of conf/, and settings on top of them.
DATA: dict[str, tuple[list[Path], list[str]]] = {
    "demo": ([CONF / "demo.yaml"], []),
    "my tables": ([CONF / "table.yaml"], []),
    "Amazon 2023": ([CONF / "amazon2023.yaml"], []),
    "Amazon 2018": ([CONF / "amazon2023.yaml"], ["data.source=amazon2018"]),
    "MiniOneRec's split": ([CONF / "minionerec.yaml"], []),
}
_KNOWN_SOURCES = {"synthetic", "table", "amazon2023", "amazon2018", "minionerec"}
DATA |= {name: ([], [f"data.source={name}"]) for name in variants.names(SOURCES) if name not in _KNOWN_SOURCES}
PROMOTE: dict[str, str | None] = {"no": None, "if not worse": "if_not_worse", "if better": "if_better"}

if TYPE_CHECKING:
    _Data: TypeAlias = str
    _Size: TypeAlias = str
    _Recipe: TypeAlias = str
    _Stage: TypeAlias = str
    _Promote: TypeAlias = str
else:
    _Data = Literal[tuple(DATA)]
    _Size = Literal[tuple(PRESETS)]
    _Recipe = Literal[recipes.names()]
    _Stage = Literal[STAGES]
    _Promote = Literal[tuple(PROMOTE)]

Data = Annotated[
    _Data,
    Field(
        description="What is read. demo: a built-in synthetic shop. my tables: your events and items as Parquet or CSV. "
        "Amazon: one category of Amazon Reviews."
    ),
]
DataPath = Annotated[
    str,
    Field(
        description="Folder with the data, on the machine that runs the stages; for demo, leave it empty. No passwords: "
        "they belong in the environment.",
        json_schema_extra=refused_unless(f"^{WITHOUT_SECRETS}", "a folder or URL without a password or token"),
    ),
]
Size = Annotated[
    _Size,
    Field(description="quick: a first look in about a quarter of the time, with fewer passes and updates. full: all."),
]
Recipe = Annotated[
    _Recipe,
    Field(description="How to train. The page of the deployment explains each recipe in a line."),
]
Recipes = Annotated[
    list[_Recipe],
    Field(
        min_length=1,
        max_length=10,
        description="The ways to train that are compared; the page of the deployment explains each in a line.",
    ),
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
        description="Stages to compute again although their result is stored. Normally empty: what changed is computed "
        "by itself."
    ),
]
Until = Annotated[_Stage, Field(description="Stop after this stage. evaluate is the last: nothing is left out.")]
Epochs = Annotated[
    int, Field(ge=0, le=10_000, description="Passes over the users in fine-tuning, at most. 0: as the recipe has it.")
]
RlSteps = Annotated[
    int,
    Field(
        ge=-1,
        le=1_000_000,
        description="Updates of reinforcement learning, at most. 0: none at all. -1: as the recipe has it.",
    ),
]
TakeOver = Annotated[
    list[Literal["vectors", "ids", "weights"]],
    Field(
        description="What to take over from the model in service: vectors of known texts, ids of known items, weights to "
        "train on from (needs ids). Empty: start afresh."
    ),
]
Promote = Annotated[
    _Promote,
    Field(
        description="Whether the new model goes into service at the end: no, unless it is worse, or only if it is better, "
        "beyond chance on the same validation rows."
    ),
]
RunName = Annotated[
    str,
    Field(
        description="Folder name of a finished run, as `latest` or 20260101-030000-shop.",
        json_schema_extra=refused_unless(
            rf"^{WITHOUT_SECRETS}[A-Za-z0-9._-]{{1,120}}$", "the folder name of a finished run, or latest"
        ),
    ),
]
RunOrInService = Annotated[
    str,
    Field(
        description="Folder name of the finished run to measure, or `latest`. Empty: the model in service.",
        json_schema_extra=refused_unless(
            rf"^{WITHOUT_SECRETS}[A-Za-z0-9._-]{{0,120}}$", "the folder name of a finished run, latest, or empty"
        ),
    ),
]
RunToAsk = Annotated[
    str,
    Field(
        description="Folder name of the finished run whose model makes the lists, or `latest`. Empty: the model in service.",
        json_schema_extra=refused_unless(
            rf"^{WITHOUT_SECRETS}[A-Za-z0-9._-]{{0,120}}$", "the folder name of a finished run, latest, or empty"
        ),
    ),
]
EventsOf = Annotated[
    str,
    Field(
        description="Folder name of the run whose events are the histories, or `latest`. Empty: the run of the model.",
        json_schema_extra=refused_unless(
            rf"^{WITHOUT_SECRETS}[A-Za-z0-9._-]{{0,120}}$", "the folder name of a finished run, latest, or empty"
        ),
    ),
]
UsersFile = Annotated[
    str,
    Field(
        description="File with the users to make lists for, on the machine that runs the stages: Parquet or CSV with a "
        "column user_id, or text with one id a line. Empty: all users.",
        json_schema_extra=refused_unless(f"^{WITHOUT_SECRETS}", "a file without a password or token in its name"),
    ),
]
OutFolder = Annotated[
    str,
    Field(
        description="Folder to copy the lists to, on the machine that runs the stages. Empty: they stay in the store, and "
        "the artifact says where.",
        json_schema_extra=refused_unless(f"^{WITHOUT_SECRETS}", "a folder without a password or token in its name"),
    ),
]
ListLength = Annotated[
    int, Field(ge=0, le=1000, description="Items of a list, at most. 0: as the settings have it, by default 10.")
]
RecommendAfter = Annotated[
    bool,
    Field(
        description="Whether the run ends with lists for every customer, made by the model that is in service then, from the "
        "events that this run has read."
    ),
]
ExperimentName = Annotated[
    str,
    Field(
        description="Name of the experiment, as service.experiment.name has it.",
        json_schema_extra=refused_unless(
            rf"^{WITHOUT_SECRETS}[A-Za-z0-9_-][A-Za-z0-9._-]{{0,59}}$", "letters, digits and the signs . _ -"
        ),
    ),
]
EventLogPlace = Annotated[
    str,
    Field(
        description="Event log of the endpoint: STORE/events/events.sqlite, or postgresql://host/database with its password in "
        "PGPASSWORD. Empty: training reads none, an experiment the one of then.",
        json_schema_extra=refused_unless(f"^{WITHOUT_SECRETS}", "a file or URL without a password or token"),
    ),
]
ServiceName = Annotated[
    str,
    Field(
        description="Name under which the model is in service, such as demo. Empty: the only one there is.",
        json_schema_extra=refused_unless(
            rf"^{WITHOUT_SECRETS}[A-Za-z0-9._-]{{0,60}}$", "letters, digits and the signs . _ -"
        ),
    ),
]
Change = Annotated[
    int,
    Field(ge=0, le=999_999, description="Number of the change to go back to, from the artifact. 0: the one before."),
]
BeamWidth = Annotated[
    int, Field(ge=0, le=1000, description="Recommendations searched for each user (beams). 0: as the run had it.")
]
SeenItems = Annotated[
    Literal["as chosen", "drop", "keep"],
    Field(
        description="Whether items that a user already had may be recommended to them (keep) or not (drop). as chosen: "
        "as the run had it."
    ),
]
Resamples = Annotated[
    int, Field(ge=0, le=100_000, description="Resamples behind the confidence intervals. 0: as the run had it.")
]
AgainAlthoughStored = Annotated[bool, Field(description="Measure again although the same figures are stored.")]
Setting = Annotated[str, Field(json_schema_extra=setting_schema())]
Settings = Annotated[
    list[Setting],
    Field(
        description="Further settings, one each, as section.setting=value (conf/README.md lists all). Passwords and tokens "
        "are refused: they belong in the environment."
    ),
]


def settings_of(**fields: object) -> dict[str, Any]:
    """The settings of the fields that were filled in: `sft__epochs=3` becomes {"sft.epochs": 3}."""
    return {n.replace("__", "."): v for n, v in fields.items() if v not in (None, "", AS_CHOSEN)}


def overrides_of(fields: dict[str, Any], settings: list[str]) -> list[str]:
    """The settings of filled-in fields, then the free ones. Raises ConfigError for a setting that both of them give.

    `data.source` is always given by the field data.
    """
    for setting in settings:
        name = setting.partition("=")[0].strip()
        both = next((f for f in ("data.source", *fields) if _same(f, name)), None)
        if both is not None:
            raise ConfigError(f"settings: {name} contradicts the form's field for {both}; leave one of the two out")
    return [*(f"{name}={json.dumps(value)}" for name, value in fields.items()), *settings]


def _same(one: str, other: str) -> bool:
    """Whether two settings are the same, or one is a section with the other in it."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")
