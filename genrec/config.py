"""The typed configuration: every setting of the pipeline, its default, its bounds and what it means.

One section per stage. YAML files are data only; later files and `--set a.b=c` override earlier ones
(`genrec.config_load`). A section is also what a stage's cache key is made of, so a setting that cannot change
the result (a worker count, the batch size of inference) is declared with `knob` and stays out of the key.
"""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model, model_validator

from genrec import variants


def knob(default: Any, description: str, **bounds: Any) -> Any:
    """A field that changes speed or place, never the result: it stays out of cache keys."""
    return Field(default, description=description, json_schema_extra={"knob": True}, **bounds)


class Section(BaseModel):
    """A group of settings. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def key_slice(self) -> dict[str, Any]:
        """The settings that decide the result, as plain JSON data (knobs left out, at every depth)."""
        slice_: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            if isinstance(extra, dict) and extra.get("knob"):
                continue
            slice_[name] = _plain(getattr(self, name))
        return slice_


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return value.key_slice()
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value


def options_model(package: str, name: str) -> type[BaseModel]:
    """A pydantic model with the fields of a variant's `Config` dataclass: validation for plain dataclasses."""
    import dataclasses
    import typing

    config_class = variants.load(package, name).Config
    hints = typing.get_type_hints(config_class)
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(config_class):
        if field.default is not dataclasses.MISSING:
            default: dict[str, Any] = {"default": field.default}
        elif field.default_factory is not dataclasses.MISSING:
            default = {"default_factory": field.default_factory}
        else:
            default = {}
        fields[field.name] = (
            hints[field.name],
            Field(description=field.metadata.get("doc", ""), **default, **field.metadata.get("bounds", {})),
        )
    return create_model(f"{name}.options", __config__=ConfigDict(extra="forbid"), **fields)


class Chosen(Section):
    """A section that chooses a variant by name and carries that variant's options, validated and completed."""

    variant_package: ClassVar[str]  # where the variants are
    variant_field: ClassVar[str] = "method"  # the setting that names one
    if TYPE_CHECKING:
        options: dict[str, Any]

    @model_validator(mode="after")
    def _complete_options(self) -> "Chosen":
        package, name = self.variant_package, getattr(self, self.variant_field)
        known = variants.names(package)
        if name not in known:
            raise UnknownName(self.variant_field, name, known)
        try:
            options = options_model(package, name).model_validate(self.options).model_dump()
        except ValidationError as error:
            raise OptionsError(error) from None
        object.__setattr__(self, "options", options)
        return self


class OptionsError(ValueError):
    """The options of a variant are wrong; `problems` says where."""

    def __init__(self, problems: ValidationError) -> None:
        self.problems = problems
        super().__init__(str(problems))


class UnknownName(ValueError):
    """A variant name that no module has."""

    def __init__(self, field: str, name: str, known: tuple[str, ...]) -> None:
        self.field, self.name, self.known = field, name, known
        super().__init__(f"{field}: there is no {name!r}; known: {', '.join(known)}")


def _options() -> Any:
    return Field(default_factory=dict, description="Settings of the chosen variant (see its own table).")


class DataConfig(Chosen):
    """Where raw events come from and how strictly they are read."""

    source: str = Field("synthetic", description="Kind of source: a module of genrec/data/sources.")
    path: str | None = Field(None, description="Folder (or reviews file) to read; the synthetic shop needs none.")
    max_quarantine_share: float = Field(
        0.05, ge=0, le=1, description="Stop when more than this share of the rows had to be set aside."
    )
    options: dict[str, Any] = _options()

    variant_package: ClassVar[str] = "genrec.data.sources"
    variant_field: ClassVar[str] = "source"


class PrepareConfig(Section):
    """Event filter, de-duplication, k-core and split."""

    events: list[str] | None = Field(None, description="Event types to keep (click, purchase, review); null keeps all.")
    min_rating: float | None = Field(None, description="Drop rated events below this rating; unrated events stay.")
    dedupe: Literal["user_item", "none"] = Field(
        "user_item", description="user_item keeps a user's first event with an item; none keeps repeats."
    )
    k_core: int = Field(5, ge=1, le=100, description="Every kept user and item has at least this many events.")
    split: Literal["leave_one_out", "global_time"] = Field(
        "leave_one_out",
        description="leave_one_out: last event of a user is test, the one before validation. "
        "global_time: the first 80% of all events train, the next 10% validate, the last 10% test.",
    )
    max_history: int = Field(20, ge=1, le=1000, description="Most recent events given to a model as history.")
    num_shards: int = knob(2, "Ray tasks that build sequences side by side.", ge=1, le=1024)


class EmbedConfig(Chosen):
    """Item text to vectors."""

    method: str = Field("lsa", description="Encoder: a module of genrec/embed.")
    fields: list[Literal["title", "brand", "categories", "description"]] = Field(
        default=["title", "brand", "categories", "description"],
        min_length=1,
        description="Item fields joined, in this order, into the text that is encoded.",
    )
    options: dict[str, Any] = _options()
    num_shards: int = knob(2, "Ray workers that encode side by side (where the encoder can be sharded).", ge=1, le=1024)
    batch_tokens: int = knob(16384, "Padded tokens in one batch of a transformer encoder.", ge=64)

    variant_package: ClassVar[str] = "genrec.embed"


class FusionConfig(Section):
    """Collaborative signal in semantic ids: text vectors beside an embedding of what is bought together."""

    weight: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of an item's squared distances that co-occurrence makes up; 0 is text alone.",
    )
    dim: int = Field(64, ge=1, le=4096, description="Dimensions of the co-occurrence embedding (PPMI, SVD).")
    window: int = Field(5, ge=1, le=1000, description="Events of a sequence up to this far apart occur together.")
    smoothing: float = Field(
        0.75, gt=0, le=1, description="Exponent of the counts of contexts in PPMI; below 1 it tempers rare items."
    )


class SidConfig(Chosen):
    """Vectors to semantic ids."""

    method: str = Field("rqkmeans", description="Tokenizer: a module of genrec/sid.")
    num_levels: int = Field(3, ge=1, le=8, description="Levels of codes that the tokenizer learns.")
    num_codes: int = Field(256, ge=1, le=32768, description="Codes a level.")
    options: dict[str, Any] = _options()
    fusion: FusionConfig = Field(default_factory=FusionConfig, description="Collaborative signal in the ids.")
    deduplicate: Literal["reassign", "extra_token"] = Field(
        "reassign",
        description="How ids become unique. reassign: items that collide move to free codes of the last level at "
        "minimum cost. extra_token: one more level counts the items that share an id.",
    )
    refit: bool = Field(
        True,
        description="Fit a second time, with another seed and nine tenths of the items: tells how many ids a retraining "
        "changes and what error to expect of new items. Takes as long again; changes no id.",
    )

    @property
    def total_levels(self) -> int:
        """Tokens of a semantic id."""
        return self.num_levels + (self.deduplicate == "extra_token")

    variant_package: ClassVar[str] = "genrec.sid"


class ScratchConfig(Section):
    """A small Qwen2-architecture model with random weights and a byte-level BPE of the catalogue."""

    vocab_size: int = Field(2000, ge=300, le=200_000, description="Size of the byte-level BPE vocabulary.")
    hidden_size: int = Field(128, ge=8, le=8192, description="Width of the model.")
    num_layers: int = Field(2, ge=1, le=96, description="Transformer blocks.")
    num_heads: int = Field(4, ge=1, le=128, description="Attention heads.")
    num_kv_heads: int = Field(2, ge=1, le=128, description="Key/value heads (grouped-query attention).")
    intermediate_size: int = Field(256, ge=8, le=65536, description="Width of the MLP.")
    text_epochs: int = Field(0, ge=0, le=1000, description="Epochs of language modelling on the catalogue's text.")


class BaseConfig(Section):
    """The language model to start from."""

    model: str = Field("scratch", description="`scratch`, a local folder, or a hub id such as Qwen/Qwen2.5-3B.")
    revision: str | None = Field(None, description="Commit or tag of a hub model: pins what the key stands for.")
    scratch: ScratchConfig = Field(default_factory=ScratchConfig, description="The model built when model is scratch.")


def _named(value: Any) -> Any:
    """`focal` is short for `{name: focal}`."""
    return {"name": value} if isinstance(value, str) else value


class ViewConfig(Chosen):
    """How the items of a history become positions of the model's input."""

    name: str = Field("item_tokens", description="View: a module of genrec/lm/views.")
    options: dict[str, Any] = _options()

    variant_package: ClassVar[str] = "genrec.lm.views"
    variant_field: ClassVar[str] = "name"


class LossConfig(Chosen):
    """What a wrong code costs."""

    name: str = Field("cross_entropy", description="Loss: a module of genrec/sft/losses.")
    options: dict[str, Any] = _options()

    variant_package: ClassVar[str] = "genrec.sft.losses"
    variant_field: ClassVar[str] = "name"


class SamplerConfig(Chosen):
    """Which training samples count more than once."""

    name: str = Field("uniform", description="Sampler: a module of genrec/sft/samplers.")
    options: dict[str, Any] = _options()

    variant_package: ClassVar[str] = "genrec.sft.samplers"
    variant_field: ClassVar[str] = "name"


class ItemVectorsConfig(Section):
    """An item as one vector, for the view item_tokens and the dense head: its semantic-id embeddings, and more."""

    text: bool = Field(True, description="Add the item's text vector (embed stage) through a learned projection.")
    ids: bool = Field(False, description="Add an embedding of the item's own, learned from events alone.")


class DenseHeadConfig(Section):
    """A second output on the same forward: the last hidden state against item vectors, softmax over the catalogue."""

    loss_weight: float = Field(
        1.0, ge=0, description="Weight of its loss beside that of the semantic ids; 0 trains no such head."
    )
    score_weight: float | None = Field(
        None, ge=0, le=1, description="Its share of an item's score in the search; null: the best on validation."
    )


class AlignmentConfig(Section):
    """Objectives that tie semantic ids to text; recommending keeps the rest of the weight. For pretrained bases."""

    sid_to_title: float = Field(0.0, ge=0, lt=1, description="Weight of writing an item's title from its id.")
    title_to_sid: float = Field(0.0, ge=0, lt=1, description="Weight of writing an item's id from its title.")
    description_to_sid: float = Field(
        0.0, ge=0, lt=1, description="Weight of writing an item's id from its description."
    )
    batch_size: int = Field(16, ge=1, description="Items of each objective in an optimizer step.")
    max_text_tokens: int = Field(64, ge=1, description="Tokens of a title or description that are read or written.")

    @property
    def total(self) -> float:
        """Weight of all of them; recommending has 1 - total."""
        return self.sid_to_title + self.title_to_sid + self.description_to_sid

    @model_validator(mode="after")
    def _leaves_room(self) -> "AlignmentConfig":
        if self.total >= 1:
            raise ValueError(f"the weights add up to {self.total:g}; below 1 leaves recommending its share")
        return self


class SftConfig(Section):
    """Supervised fine-tuning."""

    view: Annotated[ViewConfig, BeforeValidator(_named)] = Field(
        default_factory=ViewConfig, description="History view, the same in training, RL and evaluation."
    )
    item_vectors: ItemVectorsConfig = Field(default_factory=ItemVectorsConfig, description="An item as one vector.")
    dense_head: DenseHeadConfig = Field(default_factory=DenseHeadConfig, description="Ranking items outright.")
    loss: Annotated[LossConfig, BeforeValidator(_named)] = Field(
        default_factory=LossConfig, description="Loss of the next item's codes."
    )
    sampler: Annotated[SamplerConfig, BeforeValidator(_named)] = Field(
        default_factory=SamplerConfig, description="Which samples count more."
    )
    alignment: AlignmentConfig = Field(default_factory=AlignmentConfig, description="Semantic ids and text.")
    reverse_share: float = Field(
        0.0, ge=0, le=1, description="Share of the training windows read newest item first (a new draw each epoch)."
    )
    item_dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of the items left out of their training windows (a new draw each epoch)."
    )
    ema_decay: float = Field(
        0.0, ge=0, lt=1, description="Decay a step of averaged weights, which are validated and kept; 0: no average."
    )
    sid_rows: Literal["base", "vectors"] = Field(
        "base",
        description="Where the semantic-id tokens' embeddings start. base: as the base model has them. vectors: from "
        "the item vectors, each code as the mean of what the levels before it left over of its items.",
    )

    adapter: Literal["full", "lora", "qlora"] = Field("full", description="What is trained: all weights or an adapter.")
    lora_rank: int = Field(64, ge=1, le=1024, description="Rank of the LoRA matrices.")
    lora_alpha: int = Field(128, ge=1, le=4096, description="LoRA scale (alpha / rank multiplies the update).")
    lora_dropout: float = Field(0.05, ge=0, lt=1, description="Dropout on the LoRA input.")
    epochs: int = Field(20, ge=1, le=10_000, description="Passes over the users, at most.")
    patience: int = Field(8, ge=1, le=1000, description="Validations without a better NDCG@10 before stopping.")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="Peak learning rate of AdamW.")
    min_learning_rate: float = Field(1e-5, ge=0, le=1, description="Learning rate at the end of the cosine.")
    warmup_share: float = Field(0.05, ge=0, lt=1, description="Share of all steps with rising learning rate.")
    batch_size: int = Field(64, ge=1, description="Training windows behind one optimizer step (effective batch).")
    micro_batch_size: int = Field(
        64, ge=1, description="Windows in one forward at most; gradients add up to batch_size."
    )
    weight_decay: float = Field(0.05, ge=0, description="AdamW weight decay (matrices only).")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradient clipping.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Dropout on embeddings, attention and residual branches.")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16 runs forwards under autocast.")
    gradient_checkpointing: bool = knob(False, "Recompute activations in the backward pass: less memory, slower.")
    max_valid_users: int = Field(
        4000, ge=1, description="Validation users decoded after an epoch (a fixed random sample, same for all models)."
    )
    checkpoint_every_s: float = knob(20.0, "Seconds between checkpoints inside the stage.", ge=0)


class RewardConfig(Chosen):
    """One term of the reward."""

    name: str = Field(description="Reward: a module of genrec/rl/rewards.")
    weight: float = Field(1.0, description="Factor of this term in the sum.")
    options: dict[str, Any] = _options()

    variant_package: ClassVar[str] = "genrec.rl.rewards"
    variant_field: ClassVar[str] = "name"


def _rewards_from_names(value: Any) -> Any:
    """`[exact_hit, rank_penalty]` is short for a list of tables with a name each."""
    return [{"name": v} if isinstance(v, str) else v for v in value] if isinstance(value, list) else value


class RlConfig(Chosen):
    """Reinforcement learning on top of the SFT model."""

    algorithm: str = Field("grpo", description="Algorithm: a module of genrec/rl.")
    group_size: int = Field(16, ge=2, le=1024, description="Candidates generated for a prompt.")
    rollout: Literal["beam", "sample"] = Field("beam", description="How candidates are generated under the trie.")
    temperature: float = Field(1.0, gt=0, le=10, description="Sampling temperature (rollout: sample).")
    num_steps: int = Field(60, ge=0, le=1_000_000, description="Updates, at most; 0 returns the SFT model.")
    prompts_per_step: int = Field(128, ge=1, description="Prompts behind one update.")
    micro_batch_size: int = Field(64, ge=1, description="Prompts in one forward of the learner.")
    learning_rate: float = Field(1e-4, gt=0, le=1, description="Learning rate of AdamW.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradient clipping.")
    kl_coef: float = Field(1e-3, ge=0, description="Weight of the KL divergence from the SFT model.")
    max_kl: float = Field(
        1.0, gt=0, description="Stop when the KL divergence from the SFT model, nats a token, is above."
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16 runs forwards under autocast.")
    empty_groups: Literal["repair", "skip"] = Field(
        "skip", description="Groups without a hit: put the target in the place of the last candidate, or skip them."
    )
    target_anchor: float = Field(
        0.1,
        ge=0,
        description="Weight of the target's log-likelihood beside the reward; keeps the policy from drifting.",
    )
    rewards: Annotated[list[RewardConfig], BeforeValidator(_rewards_from_names)] = Field(
        default_factory=lambda: [RewardConfig(name="exact_hit"), RewardConfig(name="rank_penalty")],
        min_length=1,
        description="Terms of the reward, added up by weight.",
    )
    eval_every: int = Field(10, ge=1, description="Steps between validations; the best checkpoint wins.")
    patience: int = Field(4, ge=1, description="Validations without a better NDCG@10 before stopping.")
    max_valid_users: int = Field(4000, ge=1, description="Validation users decoded at each check (as in sft).")
    options: dict[str, Any] = _options()
    num_rollout_workers: int = knob(
        1, "Ray actors that generate candidates; 0 generates in the learner.", ge=0, le=1024
    )
    checkpoint_every_s: float = knob(20.0, "Seconds between checkpoints inside the stage.", ge=0)

    variant_package: ClassVar[str] = "genrec.rl"
    variant_field: ClassVar[str] = "algorithm"


class RecallConfig(Chosen):
    """One baseline."""

    name: str = Field(description="Baseline: a module of genrec/recall.")
    options: dict[str, Any] = _options()

    variant_package: ClassVar[str] = "genrec.recall"
    variant_field: ClassVar[str] = "name"


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
        default_factory=lambda: [RecallConfig(name=name) for name in ("popularity", "itemcf", "transitions")],
        description="Baselines fitted on the same split and ranked beside the models.",
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


class StageResources(Section):
    """What Ray reserves for a stage's tasks."""

    num_cpus: float = knob(1, "CPU cores a task.", ge=0)
    num_gpus: float = knob(0, "GPUs a task; a fraction shares one.", ge=0)
    num_threads: int = knob(0, "Threads of torch, BLAS and Polars in a task; 0 takes num_cpus, rounded up.", ge=0)


def _resources(num_cpus: float) -> Any:
    return Field(default_factory=lambda: StageResources(num_cpus=num_cpus), description="Resources of this stage.")


class ResourcesConfig(Section):
    """Placement: nothing here can change a result."""

    ray_address: str | None = knob(None, "Ray cluster to join; null takes RAY_ADDRESS, else starts Ray here.")
    num_cpus: int = knob(0, "Cores of a Ray that is started here; 0 takes all.", ge=0)
    retries: int = knob(0, "Times Prefect retries a failed stage.", ge=0, le=100)
    ingest: StageResources = _resources(1)
    prepare: StageResources = _resources(1)
    embed: StageResources = _resources(1)
    sid: StageResources = _resources(2)
    base: StageResources = _resources(2)
    sft: StageResources = _resources(2)
    rl: StageResources = _resources(1)
    rollout: StageResources = _resources(1)
    evaluate: StageResources = _resources(2)


class Config(Section):
    """The whole run."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9._-]{1,60}$", description="Short name, part of the run id.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of training (the synthetic shop has its own).")
    store: str = knob(".genrec", "Folder of artifacts and reports.")
    data: DataConfig = Field(default_factory=DataConfig, description="Input.")
    prepare: PrepareConfig = Field(default_factory=PrepareConfig, description="Preparation.")
    embed: EmbedConfig = Field(default_factory=EmbedConfig, description="Item vectors.")
    sid: SidConfig = Field(default_factory=SidConfig, description="Semantic ids.")
    base: BaseConfig = Field(default_factory=BaseConfig, description="Base model.")
    sft: SftConfig = Field(default_factory=SftConfig, description="Supervised fine-tuning.")
    rl: RlConfig = Field(default_factory=RlConfig, description="Reinforcement learning.")
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig, description="Evaluation.")
    resources: ResourcesConfig = Field(default_factory=ResourcesConfig, description="Ray resources.")
