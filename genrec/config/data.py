"""Settings of ingest and prepare."""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from genrec import variants
from genrec.config.expectations import ExpectationsConfig
from genrec.config.section import Chosen, Section, _options, depth, knob, later
from genrec.paths import PathText

SOURCES = "genrec.data.sources"


def generates(source: str) -> bool:
    """Whether a source makes its data itself and reads no files. Raises KeyError for a source that there is not."""
    return hasattr(variants.load(SOURCES, source), "generate")


class DataConfig(Chosen):
    """Where raw events come from and how strictly they are read."""

    source: str = Field("synthetic", description="Kind of source: a module of genrec/data/sources.")
    path: PathText | None = Field(
        None,
        description="Folder, file, pattern (shop/2024-*/*.jsonl.gz) or URL of one (s3://, gs://, az://, hf://) to read; the "
        "synthetic shop needs none.",
    )
    events: PathText | None = Field(
        None,
        description="Event log whose events are read besides the source: the SQLite file that the endpoint writes "
        "(STORE/events/events.sqlite), or postgresql://host/database (the password in PGPASSWORD). Up to the newest event "
        "when ingest starts; new ones make a new key.",
    )
    events_until: int | None = Field(
        None,
        ge=0,
        description="Sequence number of the last event that is read from the event log; null: the newest one.",
    )
    max_quarantine_share: float = Field(
        0.05, ge=0, le=1, description="Stop when more than this share of the rows had to be set aside."
    )
    max_share_without_metadata: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Stop when there is metadata, and more than this share of the items with events have none.",
    )
    damaged_files: Literal["auto", "keep_rows", "set_aside"] = later(
        "auto",
        "Files that break off or cannot be read. set_aside: left out whole, so that the rest is read as without them. "
        "keep_rows: read up to the damage. auto: set_aside while they are few (max_damaged_files), else keep_rows for "
        "files that break off.",
    )
    max_damaged_files: float = later(
        0.1,
        "Stop when more than this share of the files of interactions, or of items, cannot be read.",
        ge=0,
        le=1,
    )
    expectations: ExpectationsConfig = knob(ExpectationsConfig(), "What the data has to keep.")
    options: dict[str, Any] = _options()

    variant_package: ClassVar[str] = SOURCES
    variant_field: ClassVar[str] = "source"

    @model_validator(mode="after")
    def _path_is_read(self) -> "DataConfig":
        """A path that nothing reads would end in a model of other data, without a word."""
        if self.path and depth() != "names" and generates(self.source):
            raise ValueError(
                f"data.path is set, but data.source {self.source} makes its own data and reads no files; "
                "leave data.path out, or set data.source to table, amazon2023 or amazon2018"
            )
        return self


class PrepareConfig(Section):
    """Event filter, de-duplication, k-core and split."""

    events: list[str] | None = Field(None, description="Event types to keep (click, purchase, review); null keeps all.")
    min_rating: float | None = Field(None, description="Drop rated events below this rating; unrated events stay.")
    dedupe: Literal["user_item", "none"] = Field(
        "user_item", description="user_item keeps a user's first event with an item; none keeps repeats."
    )
    k_core: int = Field(5, ge=1, le=100, description="Every kept user and item has at least this many events.")
    k_core_on: Literal["auto", "training", "all"] = Field(
        "auto",
        description="Events the k-core is taken of. training: those of the training part alone, so that nothing "
        "learnt from depends on later events; later events with items outside of this k-core are left out (counted as "
        "item_not_in_training), so there are no cold items; users outside of it with a later event are predicted for, "
        "their earlier events being read and not learnt from, and others are left out. all: every event, later ones included, as the literature does for "
        "leave_one_out; under global_time the choice of users and items, and the 80% and 90% of the kept events, then "
        "use the future. auto: training for global_time, all for leave_one_out.",
    )
    split: Literal["leave_one_out", "global_time", "given"] = Field(
        "leave_one_out",
        description="leave_one_out: last event of a user is test, the one before validation. "
        "global_time: the first 80% of all events train, the next 10% validate, the last 10% test. "
        "given: the type of each event names its part (train, valid, test, or history for what is only read), as "
        "data.source minionerec writes it; every row is kept, so dedupe and k_core do not apply.",
    )
    max_history: int = Field(20, ge=1, le=1000, description="Most recent events given to a model as history.")
    num_shards: int = knob(2, "Ray tasks that build sequences side by side.", ge=1, le=1024)
