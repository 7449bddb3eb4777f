"""Settings of the rank stage: candidates of the generator and of channels, and the model that orders them."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from genrec import variants
from genrec.config.rerank import RerankSteps
from genrec.config.section import Chosen, Section, UnknownName, _named, _options

GENERATOR = "generator"
_VOTERS = ("sasrec", "als", "mind", "item2vec_side", "content", "swing", "popularity")  # unlike each other
_OTHERS = (
    *("transitions", "transition_hops", "transition_rings", "itemcf", "usercf", "item2vec", "recent_popularity"),
    "rules",
)


def _default_channels() -> dict[str, int]:
    return {GENERATOR: 50, **dict.fromkeys(_VOTERS, 200), **dict.fromkeys(_OTHERS, 10)}


def _over_defaults(channels: Any) -> Any:
    """What is written of the channels; the others have their defaults."""
    return {**_default_channels(), **channels} if isinstance(channels, dict) else channels


class RankerConfig(Chosen):
    """The model that orders the candidates."""

    name: str = Field("lambdamart", description="Ranker: a module of genrec/rank/rankers.")
    options: dict[str, Any] = _options()

    variant_package: ClassVar[str] = "genrec.rank.rankers"
    variant_field: ClassVar[str] = "name"


class NegativesConfig(Section):
    """Which candidates, beside the target, a ranker learns from."""

    rule: Literal["all", "uniform", "hard"] = Field(
        "uniform",
        description="all; uniform: `count` random ones of a list; hard: the `count` that some channel ranks best.",
    )
    count: int = Field(50, ge=1, description="Of a list, under uniform and hard.")
    only_with_target: bool = Field(
        True,
        description="Leave out the training lists whose candidates lack the target; a pointwise loss that shall know how "
        "rare a hit is needs them.",
    )


class SampleWeightsConfig(Section):
    """How much a list counts in training."""

    events: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=lambda: {"purchase": 3.0, "click": 1.0},
        description="By the kind of the event that came next; other kinds count 1.",
    )
    half_life_days: float | None = Field(
        None, gt=0, description="A list that much older than the newest counts half; null: all ages count alike."
    )
    propensity_clip: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Where impressions are logged, a target that was shown counts 1 / max(propensity of its position, "
        "this); 1 switches it off.",
    )


class RankConfig(Section):
    """Ranking the candidates of the generator and the channels by one model, learned on the validation targets."""

    enabled: bool = Field(False, description="Whether candidates are gathered and a ranker is trained at all.")
    require_gain: bool = Field(
        True,
        description="Use the ranking only where its NDCG@10 on validation users that it did not learn from is above that "
        "of the generator, with an interval of evaluate.confidence that excludes zero.",
    )
    channels: Annotated[dict[str, Annotated[int, Field(ge=0, le=1000)]], BeforeValidator(_over_defaults)] = Field(
        default_factory=_default_channels,
        description="Candidates of each channel (a module of genrec/recall, with the options of evaluate.baselines) and "
        "of the generator; 0 leaves one out, one that is not written keeps its default.",
    )
    voters: list[str] = Field(
        default_factory=lambda: [GENERATOR, *_VOTERS],
        description="Of the channels, those whose lists make the candidates; the others only tell what they think of them. "
        "Channels that list the same push out what one alone knows. []: all of them.",
    )
    queries: Literal["as_served", "as_logged"] = Field(
        "as_served",
        description="What features know of a row of validation and test. as_served: what a request tells, the items of the "
        "history; the moment is that of the newest training event. as_logged: also times and kinds of its events, and the "
        "moment of the target, which a ranker learns from and then is not told when it serves.",
    )
    max_candidates: int = Field(200, ge=1, le=5000, description="Of a list, after merging.")
    ranker: Annotated[RankerConfig, BeforeValidator(_named)] = Field(
        default_factory=RankerConfig, description="The model that orders the candidates."
    )
    negatives: NegativesConfig = Field(default_factory=NegativesConfig, description="What it learns from.")
    weights: SampleWeightsConfig = Field(default_factory=SampleWeightsConfig, description="How much a list counts.")
    num_folds: int = Field(
        5,
        ge=2,
        le=20,
        description="Models over parts of the users; a user is scored by the one that did not learn from it.",
    )
    stopping_share: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        description="Share of a model's training users that decide when its training stops; 0: it runs to its end. A few "
        "hundred lists stop it at random.",
    )
    ablation: bool = Field(
        False,
        description="Whether the ranker is fitted again without each group of features, to tell what the group adds.",
    )
    rerank: RerankSteps = Field(
        default_factory=list,
        description="Steps after the ranker, in order, tuned on validation; none: its order stands.",
    )

    @model_validator(mode="after")
    def _channels_are_known(self) -> "RankConfig":
        known = (GENERATOR, *variants.names("genrec.recall"))
        for field in ("channels", "voters"):
            for name in getattr(self, field):
                if name not in known:
                    raise UnknownName(field, name, known)
        if not any(self.channels.values()):
            raise ValueError("channels: all are left out; give one of them more than 0 candidates")
        return self
