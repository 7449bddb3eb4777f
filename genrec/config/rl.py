"""Settings of reinforcement learning."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from genrec.config.section import (
    Chosen,
    Section,
    Sharding,
    _options,
    _rewards_from_names,
    check_sharding,
    knob,
    sharding_choice,
)


class RewardConfig(Chosen):
    """One term of the reward."""

    name: str = Field(description="Reward: a module of genrec/train/rl/rewards.")
    weight: float = Field(1.0, description="Factor of this term in the sum.")
    options: dict[str, Any] = _options()

    variant_package: ClassVar[str] = "genrec.train.rl.rewards"
    variant_field: ClassVar[str] = "name"


class RolloutConfig(Section):
    """How the candidates of a prompt are generated under the trie."""

    mode: Literal["beam", "sample", "gumbel"] = Field(
        "beam",
        description="beam: the best by beam search. sample: independent draws, repeats possible. gumbel: draws without "
        "replacement (Gumbel top-k).",
    )
    temperature: float = Field(1.0, gt=0, le=10, description="Temperature of the draws (modes sample and gumbel).")
    seen_items: Literal["drop", "keep"] = Field(
        "drop", description="Whether items of the history leave the candidates (the target never does)."
    )
    chunk_size: int = Field(
        32, ge=1, description="Prompts an actor takes at a time; the next chunk goes to an actor that is free."
    )


class GateConfig(Section):
    """Which checkpoint may replace the SFT model."""

    metric: Literal["ndcg@10", "hr@10", "reward"] = Field(
        "ndcg@10",
        description="What a checkpoint has to gain on the validation users, beyond chance: NDCG@10, HR@10, or the reward "
        "(mean of the first 10 items).",
    )
    max_loss: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Share of the SFT model's figure that the gain may cost: of NDCG@10, and for `ndcg@10` of HR@10. null: "
        "0.02 for `reward`, else 0.",
    )
    take_back: bool = Field(
        False,
        description="Where a checkpoint costs more than `max_loss`, go on from the best one so far (or the SFT model), at a "
        "quarter of the learning rate: finds how far a reward can be followed inside the allowed loss.",
    )
    confidence: float = Field(
        0.95,
        gt=0,
        lt=1,
        description="Level of the paired bootstrap interval of the gain, whose lower end has to be above 0.",
    )

    @property
    def allowed_loss(self) -> float:
        """`max_loss`, or what it is by default."""
        if self.max_loss is not None:
            return self.max_loss
        return 0.02 if self.metric == "reward" else 0.0


def _mode(value: Any) -> Any:
    """`sample` is short for `{mode: sample}`."""
    return {"mode": value} if isinstance(value, str) else value


class RlConfig(Chosen):
    """Reinforcement learning on top of the SFT model."""

    algorithm: str = Field("grpo", description="Algorithm: a module of genrec/train/rl/algorithms.")
    group_size: int = Field(16, ge=2, le=1024, description="Candidates generated for a prompt.")
    rollout: Annotated[RolloutConfig, BeforeValidator(_mode)] = Field(
        default_factory=RolloutConfig, description="Generation of candidates."
    )
    num_steps: int = Field(240, ge=0, le=1_000_000, description="Updates, at most; 0 returns the SFT model.")
    prompts_per_step: int = Field(128, ge=1, description="Prompts of an update.")
    micro_batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        64,
        description="Prompts in one forward of the learner. auto: as many as the memory of the GPU allows (measured at the "
        "start; halved when it runs out), 64 on a CPU.",
    )
    learning_rate: float = Field(3e-4, gt=0, le=1, description="Learning rate of AdamW.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradient clipping.")
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay of averaged weights, which are validated and kept, at most: it grows with the updates as "
        "step / (step + 10). 0: no average.",
    )
    kl_coef: float = Field(1e-3, ge=0, description="Weight of the KL divergence from the SFT model.")
    kl_target: float | None = Field(
        None,
        gt=0,
        description="Divergence from the SFT model, nats a token, that the weight is steered to (adaptive KL); null "
        "keeps the weight fixed.",
    )
    max_kl: float = Field(
        10.0,
        gt=0,
        description="Stop when the KL divergence from the SFT model, nats a token over the candidates, is above.",
    )
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="bf16 runs forwards under autocast; refused on a device that only emulates bfloat16."
    )
    empty_groups: Literal["repair", "skip", "keep"] = Field(
        "skip",
        description="Groups without a hit: put the target in the place of the last candidate, skip them, or keep them "
        "as they are (for rewards that need no hit, for ppo and for distillation).",
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
    gate: GateConfig = Field(
        default_factory=GateConfig, description="What makes a checkpoint better than the SFT model."
    )
    eval_every: int = Field(20, ge=1, description="Steps between validations; the best checkpoint that passes wins.")
    patience: int = Field(4, ge=1, description="Validations without a better figure of the gate before stopping.")
    max_valid_users: int = Field(4000, ge=1, description="Validation users decoded at each check (as in sft).")
    num_learners: int = Field(
        1,
        ge=1,
        le=1024,
        description="Processes that share the updates (Ray Train, data parallel); 1 updates in the stage's process. The "
        "gradients are those of one process up to rounding.",
    )
    sharding: Sharding = sharding_choice("num_learners")
    options: dict[str, Any] = _options()
    compile: bool = Field(
        False,
        description="Compile the model's layers where it trains on a GPU: a minute at the start, then faster steps. "
        "Rounds elsewhere.",
    )
    num_rollout_workers: int = knob(
        1, "Ray actors that generate candidates; 0 generates in the learner.", ge=0, le=1024
    )
    checkpoint_every_s: float = knob(20.0, "Seconds between checkpoints inside the stage.", ge=0)

    variant_package: ClassVar[str] = "genrec.train.rl.algorithms"
    variant_field: ClassVar[str] = "algorithm"

    @model_validator(mode="after")
    def _can_be_divided(self) -> "RlConfig":
        check_sharding("rl", self.sharding, "num_learners", self.num_learners)
        return self
