"""The typed configuration: every setting of the pipeline, its default, its bounds and what it means.

One section per stage. YAML files are data only; later files and `--set a.b=c` override earlier ones
(`genrec.config.load`). A section is also what a stage's cache key is made of, so a setting that cannot change
the result (a worker count, the batch size of inference) is declared with `knob` and stays out of the key.
"""

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from genrec.config.api import ApiConfig
from genrec.config.data import DataConfig, PrepareConfig
from genrec.config.evaluate import EvaluateConfig, RecallConfig
from genrec.config.ids import EmbedConfig, FusionConfig, SidConfig
from genrec.config.model import BaseConfig, ScratchConfig
from genrec.config.rank import RankConfig, RankerConfig
from genrec.config.recommend import RecommendConfig
from genrec.config.reported import ReportedConfig
from genrec.config.resources import ResourcesConfig, StageResources
from genrec.config.rl import GateConfig, RewardConfig, RlConfig
from genrec.config.section import Chosen, OptionsError, Section, UnknownName, knob, options_model
from genrec.config.service import ExperimentConfig, ServiceConfig
from genrec.config.sft import (
    AlignmentConfig,
    DenseHeadConfig,
    ItemVectorsConfig,
    LossConfig,
    SamplerConfig,
    SftConfig,
    ViewConfig,
)
from genrec.paths import PathText

__all__ = [
    "AlignmentConfig",
    "ApiConfig",
    "BaseConfig",
    "Chosen",
    "Config",
    "DataConfig",
    "DenseHeadConfig",
    "EmbedConfig",
    "EvaluateConfig",
    "ExperimentConfig",
    "FusionConfig",
    "GateConfig",
    "ItemVectorsConfig",
    "LossConfig",
    "OptionsError",
    "PrepareConfig",
    "RankConfig",
    "RankerConfig",
    "RecallConfig",
    "RecommendConfig",
    "ReportedConfig",
    "ResourcesConfig",
    "RewardConfig",
    "RlConfig",
    "SamplerConfig",
    "ScratchConfig",
    "Section",
    "ServiceConfig",
    "SftConfig",
    "SidConfig",
    "StageResources",
    "UnknownName",
    "ViewConfig",
    "knob",
    "options_model",
]


class Config(Section):
    """The whole run."""

    name: str = Field("run", description="Short name, part of the run id.")
    preset: Literal["full", "quick"] = knob(
        "full",
        "quick: fewer passes and updates and 20,000 test users at most, laid over the files and under every --set; a first "
        "look.",
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of training (the synthetic shop has its own).")
    store: PathText = knob(
        ".genrec", "Folder of artifacts and reports, or the URL of one on an object store (s3://, gs://)."
    )
    data: DataConfig = Field(default_factory=DataConfig, description="Input.")
    prepare: PrepareConfig = Field(default_factory=PrepareConfig, description="Preparation.")
    embed: EmbedConfig = Field(default_factory=EmbedConfig, description="Item vectors.")
    sid: SidConfig = Field(default_factory=SidConfig, description="Semantic ids.")
    base: BaseConfig = Field(default_factory=BaseConfig, description="Base model.")
    sft: SftConfig = Field(default_factory=SftConfig, description="Supervised fine-tuning.")
    rl: RlConfig = Field(default_factory=RlConfig, description="Reinforcement learning.")
    rank: RankConfig = Field(default_factory=RankConfig, description="Ranking of candidates.")
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig, description="Evaluation.")
    service: ServiceConfig = Field(default_factory=ServiceConfig, description="Daily operation.")
    recommend: RecommendConfig = Field(default_factory=RecommendConfig, description="Lists for every customer.")
    api: ApiConfig = Field(default_factory=ApiConfig, description="The HTTP endpoint.")
    resources: ResourcesConfig = Field(default_factory=ResourcesConfig, description="Ray resources.")
    reported: ReportedConfig = Field(default_factory=ReportedConfig, description="Figures that others report.")

    @field_validator("store")
    @classmethod
    def _is_named(cls, store: str) -> str:
        """An empty one, of a variable that is not set, would be the folder in which the command was typed."""
        if not store.strip():
            raise ValueError("a folder or a URL is meant, such as .genrec")
        return store

    @field_validator("name")
    @classmethod
    def _in_plain_letters(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,60}", name):
            raise ValueError("1 to 60 letters, digits and the signs . _ - are meant")
        return name

    @model_validator(mode="after")
    def _weights_fit_the_prefix(self) -> "Config":
        if "weights" in self.service.keep and self.sft.adapter == "ptuning_v2" and self.sft.prefix_projection:
            raise ValueError(
                "service.keep has weights, but a saved prefix has no projection to go on from; set sft.prefix_projection to "
                "null, or leave weights out of service.keep"
            )
        return self

    @model_validator(mode="after")
    def _can_be_divided(self) -> "Config":
        if self.rl.sharding == "weights" and self.sft.adapter == "qlora":
            raise ValueError(
                "rl.sharding is weights, but sft.adapter is qlora, and packed 4-bit weights are not divided; set rl.sharding to "
                "gradients (4-bit weights are a quarter already), or sft.adapter to lora"
            )
        for stage in ("sft", "rl"):
            kind, share = getattr(self, stage).sharding, getattr(self.resources, stage).num_gpus
            if kind != "none" and 0 < share < 1:
                raise ValueError(
                    f"{stage}.sharding is {kind}, but resources.{stage}.num_gpus is {share:g}: processes on one GPU have nothing "
                    f"to gain from a division; set resources.{stage}.num_gpus to 1, or {stage}.sharding to none"
                )
        return self
