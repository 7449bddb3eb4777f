"""Settings of daily operation: what a retraining takes over from the model in service, and when it takes its place."""

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from genrec.config.section import Section, knob


class ExperimentConfig(Section):
    """Another model tried on a share of the users; see docs/serving.md."""

    name: str = knob(..., "Name of the experiment, of letters, digits and the signs . _ -; its folder in the store.")
    candidate: str = knob("latest", "Run whose model is tried against the one in service: a run id, or `latest`.")
    share: float = knob(
        0.5, "Share of the users who see the candidate (or both lists, in mode interleave), by a hash.", ge=0, le=1
    )
    mode: Literal["split", "interleave"] = knob(
        "split",
        "split: these users see the candidate's list, the others that of the model in service. interleave: these users "
        "see one list of both (team draft), which needs far fewer users to tell which ranking is better.",
    )
    salt: str = knob("", "Mixed into the hash of the users; another salt draws other users. Empty: the name.")
    outcome: Literal["click", "purchase"] = knob("click", "What decides; the other is reported beside it.")
    window_hours: float = knob(
        24.0, "A user counts with what happens in so many hours after being shown the first list.", gt=0, le=24 * 60
    )
    confidence: float = knob(0.95, "Of the intervals, over all days on which one looks at them.", gt=0.5, lt=1)
    tight_at_users: int = knob(
        5000, "Number of users at which the interval is narrowest for its kind; about what is expected.", ge=100
    )

    @field_validator("name")
    @classmethod
    def _is_a_folder(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,59}", name):
            raise ValueError("1 to 60 letters, digits and the signs . _ - are meant, not a dot at first")
        return name


class ServiceConfig(Section):
    """The model in service under this run's `name`. What is taken over is part of a stage's key by its origin."""

    keep: list[Literal["vectors", "ids", "weights"]] = Field(
        default=[],
        description="What a run takes over from the model in service. vectors: of item texts that did not change, and "
        "the encoder as it was fitted. ids: of known items; new items get theirs from the frozen codebooks, until "
        "they drift. weights: fine-tuning starts from the model in service where the ids were kept.",
    )
    max_new_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="An encoder that is fitted on the catalogue is fitted anew (and with it the ids) when more than this "
        "share of the texts it has met came after its fit.",
    )
    promote: Literal["never", "if_not_worse", "if_better"] = Field(
        "never",
        description="When a finished run's model takes the place of the one in service. Both rank the same validation "
        "rows, and the interval of the difference in NDCG (paired, level evaluate.confidence) decides; test figures are "
        "only reported. if_not_worse: unless the whole interval is below zero (not worse beyond chance). An equally good "
        "model is promoted in 97.5% of the nights, one that loses half the width of the interval (about 0.012 NDCG@10 at "
        "1,000 users, 0.004 at 10,000, 0.0012 at 100,000) in half of them, one that loses the whole width in 2.5%. "
        "if_better: only when the whole interval is above zero; an equally good model is promoted in 2.5% of the "
        "nights. never: leave the one in service.",
    )
    max_loss: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the NDCG of the model in service that a new one may lose beyond chance under if_not_worse.",
    )

    recommend: bool = Field(
        False,
        description="Whether a run ends with lists for every customer (section recommend), made by the model that is in "
        "service then, from this run's events.",
    )
    rank: bool | None = knob(
        None,
        "Whether lists that are served (endpoint, recommend, Recommender, export) are in the order of the stage rank's model, "
        "where the run has one and validation saw a gain. null: no; at an endpoint as the run of its model was set.",
    )
    experiment: ExperimentConfig | None = knob(
        None, "Another model tried on a share of the users of the endpoint; null: none."
    )

    @model_validator(mode="after")
    def _weights_need_ids(self) -> "ServiceConfig":
        if "weights" in self.keep and "ids" not in self.keep:
            raise ValueError("keep: weights have no meaning under other ids; keep ids (and vectors) too")
        return self
