"""Settings of supervised fine-tuning."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from genrec.config.section import (
    Chosen,
    Section,
    Sharding,
    _named,
    _options,
    check_sharding,
    knob,
    later,
    sharding_choice,
)


class ViewConfig(Chosen):
    """How the items of a history become positions of the model's input."""

    name: str = Field("item_tokens", description="View: a module of genrec/model/views.")
    options: dict[str, Any] = _options()

    variant_package: ClassVar[str] = "genrec.model.views"
    variant_field: ClassVar[str] = "name"


class OutputConfig(Chosen):
    """What a step of a semantic id is chosen by."""

    name: str = Field("prefixes", description="Output: a module of genrec/model/outputs.")
    options: dict[str, Any] = _options()

    variant_package: ClassVar[str] = "genrec.model.outputs"
    variant_field: ClassVar[str] = "name"


class LossConfig(Chosen):
    """What a wrong code costs."""

    name: str = Field("cross_entropy", description="Loss: a module of genrec/train/sft/losses.")
    options: dict[str, Any] = _options()

    variant_package: ClassVar[str] = "genrec.train.sft.losses"
    variant_field: ClassVar[str] = "name"


class SamplerConfig(Chosen):
    """Which training samples count more than once."""

    name: str = Field("uniform", description="Sampler: a module of genrec/train/sft/samplers.")
    options: dict[str, Any] = _options()

    variant_package: ClassVar[str] = "genrec.train.sft.samplers"
    variant_field: ClassVar[str] = "name"


class ItemVectorsConfig(Section):
    """An item as one vector, for the view item_tokens and the dense head: its semantic-id embeddings, and more."""

    text: bool = Field(True, description="Add the item's text vector (embed stage) through a learned projection.")
    ids: bool = Field(True, description="Add an embedding of the item's own, learned from events alone.")


class DenseHeadConfig(Section):
    """A second output on the same forward: the last hidden state against item vectors, softmax over the catalogue."""

    loss_weight: float = Field(
        3.0, ge=0, description="Weight of its loss beside that of the semantic ids; 0 trains no such head."
    )
    sampled_items: int | None = later(
        None,
        "Draws of items, the popular ones likelier, that stand for all in its softmax while training (sampled softmax, "
        "corrected for how likely each is drawn). null: 8,192 for a catalogue above 50,000 items, none (the softmax is "
        "exact) below; 0: none.",
        ge=0,
    )
    score_weight: float | None = Field(
        None, ge=0, le=1, description="Its share of an item's score in the search; null: the best on validation."
    )
    successor_share: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Share of its distribution that a table of item-to-item transitions, counted in the training "
        "sequences, takes in search (not in training); 0: no table, null: the best on validation.",
    )
    successor_window: int = Field(5, ge=1, description="Longest distance of two events that count as a transition.")
    successor_decay: float = Field(0.6, gt=0, le=1, description="A history item of age a counts successor_decay ** a.")


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
    output: Annotated[OutputConfig, BeforeValidator(_named)] = Field(
        default_factory=OutputConfig, description="Output of the semantic ids, the same in training, RL and search."
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
    crop_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the training windows that begin at a random item, what lies before left out (a new draw "
        "each epoch): shorter histories, and later ones for long sequences.",
    )
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay of averaged weights, which are validated and kept, at most: it grows with the steps as "
        "step / (step + 10). 0: no average.",
    )
    sid_rows: Literal["base", "vectors"] = Field(
        "base",
        description="Where the semantic-id tokens' embeddings start. base: as the base model has them. vectors: from "
        "the item vectors, each code as the mean of what the levels before it left over of its items.",
    )

    adapter: Literal["full", "lora", "qlora", "ptuning_v2"] = Field(
        "full", description="What is trained: all weights or an adapter."
    )
    lora_rank: int = Field(64, ge=1, le=1024, description="Rank of the LoRA matrices.")
    lora_alpha: int = Field(128, ge=1, le=4096, description="LoRA scale (alpha / rank multiplies the update).")
    lora_dropout: float = Field(0.05, ge=0, lt=1, description="Dropout on the LoRA input.")
    lora_targets: list[str] = Field(
        default_factory=list,
        description="Linear layers that LoRA adapts, by name (q_proj, v_proj, ...); empty: all of the body.",
    )
    prefix_tokens: int = later(
        64, "Positions of learned keys and values before every layer (ptuning_v2).", ge=1, le=4096
    )
    prefix_projection: int | None = later(
        None,
        "Width of a network that gives those keys and values while fine-tuning; null: they are trained "
        "themselves, from what the base computes for common words.",
        ge=1,
        le=65536,
    )
    optimizer: Literal["adamw", "paged_adamw_8bit"] = Field(
        "adamw",
        description="paged_adamw_8bit (bitsandbytes) keeps its state in a quarter of the memory; goes with qlora.",
    )
    epochs: int = Field(10, ge=1, le=10_000, description="Passes over the users, at most.")
    patience: int = Field(8, ge=1, le=1000, description="Validations without a better NDCG@10 before stopping.")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="Peak learning rate of AdamW.")
    min_learning_rate: float = Field(1e-5, ge=0, le=1, description="Learning rate at the end of the cosine.")
    warmup_share: float = Field(0.05, ge=0, lt=1, description="Share of all steps with rising learning rate.")
    batch_size: int = Field(64, ge=1, description="Training windows of an optimizer step (effective batch).")
    micro_batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        64,
        description="Windows in one forward at most; gradients add up to batch_size. auto: as many as the memory of the GPU "
        "allows (measured at the start; halved when it runs out), 64 on a CPU.",
    )
    weight_decay: float = Field(0.05, ge=0, description="AdamW weight decay (matrices only).")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradient clipping.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout on embeddings, attention and residual branches.")
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="bf16 runs forwards under autocast; refused on a device that only emulates bfloat16."
    )
    compile: bool = Field(
        False,
        description="Compile the model's layers where it trains on a GPU: a minute at the start, then faster steps. "
        "Rounds elsewhere, and draws another dropout.",
    )
    gradient_checkpointing: bool | Literal["auto"] = knob(
        False,
        "Recompute activations in the backward pass: less memory, slower. auto: where the memory of the GPU leaves "
        "too small a forward otherwise.",
    )
    max_valid_users: int = Field(
        4000, ge=1, description="Validation users decoded after an epoch (a fixed random sample, same for all models)."
    )
    data_parallel: int = Field(
        1,
        ge=1,
        le=1024,
        description="Processes that share every batch (Ray Train); 1 trains in the stage's process. The gradients are "
        "those of one process up to rounding, but for dropout, which each draws for itself.",
    )
    sharding: Sharding = sharding_choice("data_parallel")
    checkpoint_every_s: float = knob(20.0, "Seconds between checkpoints inside the stage.", ge=0)

    @model_validator(mode="after")
    def _can_be_divided(self) -> "SftConfig":
        check_sharding("sft", self.sharding, "data_parallel", self.data_parallel)
        if self.sharding != "none" and self.optimizer == "paged_adamw_8bit":
            raise ValueError(
                f"sharding is {self.sharding}, but optimizer paged_adamw_8bit rounds its states in blocks of whole weights; set "
                "sft.optimizer to adamw, or sft.sharding to none"
            )
        if self.sharding == "weights" and self.adapter == "qlora":
            raise ValueError(
                "sharding is weights, but packed 4-bit weights are not divided; set sft.sharding to gradients (4-bit weights "
                "are a quarter already), or sft.adapter to lora"
            )
        return self

    @model_validator(mode="after")
    def _chat_has_words(self) -> "SftConfig":
        options = self.view.options
        if options.get("chat") and not options.get("instruction", "").strip():
            raise ValueError(
                "view.options: chat puts the instruction into the base's template; set sft.view.options.instruction, or chat "
                "to false"
            )
        return self
