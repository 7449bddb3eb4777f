"""What a state of reinforcement learning has beside that of any training run."""

from dataclasses import dataclass

from genrec.train.state import State


@dataclass
class RlState(State):
    """`best_step` 0 stands for the SFT model. Prompts and candidates are functions of (seed, step)."""

    sft_hr: float | None = None  # None: there are no validation users
    sft_ndcg: float | None = None
    kl_coef: float = 0.0  # weight of the KL divergence, which may be steered

    def start(self, hr: float, ndcg: float) -> None:
        """Note the figures of the SFT model, before the first step: what later ones are compared with."""
        self.sft_hr, self.sft_ndcg = self.best_hr, self.best_ndcg = hr, ndcg
        self.log(0.0, {"valid_hr@10": hr, "valid_ndcg@10": ndcg})
