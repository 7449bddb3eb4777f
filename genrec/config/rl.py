"""Settings of reinforcement learning."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from genrec.config.section import Chosen, _options, _rewards_from_names, knob


class RewardConfig(Chosen):
    """One term of the reward."""

    name: str = Field(description="Reward: a module of genrec/rl/rewards.")
    weight: float = Field(1.0, description="Factor of this term in the sum.")
    options: dict[str, Any] = _options()

    variant_package: ClassVar[str] = "genrec.rl.rewards"
    variant_field: ClassVar[str] = "name"


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
