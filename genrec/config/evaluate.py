"""Settings of the evaluation."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from genrec.config.section import Chosen, Section, _options, _rewards_from_names, knob, later

_BASELINES = (
    *("popularity", "recent_popularity", "content", "itemcf", "usercf", "swing", "als", "item2vec", "transitions"),
    *("transition_rings", "sasrec"),
)


class RecallConfig(Chosen):
    """One baseline. Options that are not set here are chosen on validation, where the baseline has a choice."""

    name: str = Field(description="Baseline: a module of genrec/recall.")
    options: dict[str, Any] = _options()

    variant_package: ClassVar[str] = "genrec.recall"
    variant_field: ClassVar[str] = "name"
    fills_defaults: ClassVar[bool] = False


class EvaluateConfig(Section):
    """The protocol: constrained beam search, full-catalogue item-level metrics, baselines beside it."""

    beam_width: int = Field(20, ge=1, le=1000, description="Beams, and the length of a recommendation list.")
    ks: list[Annotated[int, Field(ge=1)]] = Field(
        default_factory=lambda: [5, 10, 20], description="Cut-offs of HR and NDCG."
    )
    seen_items: Literal["drop", "keep"] = Field(
        "drop",
        description="Whether items of the history leave the ranking in the headline figures (both are reported).",
    )
    baselines: Annotated[list[RecallConfig], BeforeValidator(_rewards_from_names)] = Field(
        default_factory=lambda: [RecallConfig(name=name) for name in _BASELINES],
        description="Baselines fitted on the same split and ranked beside the models.",
    )
    choice_users: int = Field(
        4000,
        ge=0,
        description="Validation users (a fixed random sample) on whom a baseline's own options are chosen, by NDCG@10 with "
        "seen items dropped; 0 takes the defaults.",
    )
    sample_users: int = later(
        200_000,
        "Test users that are measured, a fixed random sample where there are more, the same one for every model, baseline "
        "and seed (so are the validation users on whom a model is compared with the one in service); 0 measures all.",
        ge=0,
    )
    precision: Literal["fp32", "bf16"] = Field(
        "fp32",
        description="bf16 decodes with the model's products in bfloat16, on devices that have them in hardware; heads and "
        "scores stay fp32.",
    )
    compile: bool = later(
        False,
        "Compile the model's layers where it decodes on a GPU: half a minute at the start, then a quarter less time for "
        "every user of a 3B model. Rounds elsewhere.",
    )
    head_share: float = Field(
        0.2, gt=0, lt=1, description="Share of the items, most popular first, that count as head."
    )
    num_bootstrap: int = Field(1000, ge=10, description="Resamples of the users behind an interval.")
    confidence: float = Field(0.95, gt=0, lt=1, description="Level of the intervals.")
    batch_size: int = knob(256, "Users decoded at once.", ge=1)
    num_shards: int = knob(1, "Ray tasks that decode side by side.", ge=1, le=1024)

    @model_validator(mode="after")
    def _lists_are_long_enough(self) -> "EvaluateConfig":
        if not self.ks or max(self.ks) > self.beam_width or len(set(self.ks)) < len(self.ks):
            raise ValueError(f"ks: {self.ks} must be distinct cut-offs of at most beam_width ({self.beam_width})")
        return self

    def channel_options(self) -> dict[str, dict[str, Any]]:
        """The options that are set for each channel, of the first baseline of its kind."""
        return {each.name: dict(each.options) for each in reversed(self.baselines)}
