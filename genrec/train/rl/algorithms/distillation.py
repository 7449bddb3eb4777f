"""On-policy distillation: the student's own candidates, judged by a frozen teacher.

The policy is trained on lists that it generates itself, so that it learns where it errs and not on lists it would never
make (generalised knowledge distillation, Agarwal et al. 2024, arXiv 2306.13649). Teacher and student are
compared inside a list: with s_i the student's log-probability of candidate i (the sum over its tokens), t_i the
teacher's, p = softmax(s) and q = softmax(t / temperature),

    reverse_kl  sum_i p_i log(p_i / q_i)    the student leaves what the teacher finds unlikely
    forward_kl  sum_i q_i log(q_i / p_i)    listwise cross-entropy: the student covers what the teacher likes
    ranknet     mean over pairs with t_i > t_j of log(1 + exp(s_j - s_i))    order alone (Burges et al. 2005; for
                generative retrieval by a ranker's list: DGR, arXiv 2402.10769)

Rewards are measured and may decide at the gate, but nothing is learnt from them. No candidate has to be a hit:
`rl.empty_groups: keep` uses every group. Teachers are those of `genrec.train.rl.teacher`; where ids alone make the score
(`sft.dense_head.score_weight: 0`), the dense head trained beside them is a teacher that costs a search nothing.

Letters: B prompts, G candidates a prompt, L levels (tokens) a candidate.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import functional

from genrec.train.rl.objective import Estimates, Loss, Tokens, kl_estimate
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    teacher: Literal["sft", "dense", "transitions", "mix"] = setting(
        "sft",
        "Who judges. sft: the SFT model's own score mixed with its table of transitions. dense: its dense head. "
        "transitions: the table alone. mix: dense head and table.",
    )
    transition_share: float = setting(0.4, "Share of the table in sft and mix.", ge=0, le=1)
    divergence: Literal["reverse_kl", "forward_kl", "ranknet"] = setting(
        "reverse_kl", "What is minimised between the teacher's list and the student's."
    )
    temperature: float = setting(
        1.0, "The teacher's log-probabilities are divided by it; ranknet does not ask.", gt=0, le=10
    )
    inner_steps: int = setting(1, "Optimizer steps on one set of candidates.", ge=1, le=100)


NEEDS_VALUES = False
NEEDS_TEACHER = True


def estimate(rewards: torch.Tensor, values: torch.Tensor | None, valid: torch.Tensor, options: Config) -> Estimates:
    """No advantages (float32[B, G, 1] of 0): the teacher's judgement takes their place."""
    return Estimates(torch.zeros_like(rewards).unsqueeze(-1))


def loss(tokens: Tokens, options: Config) -> Loss:
    """The divergence of each list and the KL term of the frozen reference.

    Lists about which the teacher has nothing to say count 0. Raises ValueError without the teacher's judgement.
    """
    if tokens.teacher is None:
        raise ValueError("distillation needs the teacher's log-probabilities")
    valid = tokens.valid & tokens.teacher.isfinite()
    student = torch.where(valid, tokens.log_probs.sum(dim=-1), 0.0)
    teacher = torch.where(valid, tokens.teacher, 0.0)
    if options.divergence == "ranknet":
        value = _ranknet(student, teacher, valid)
    else:
        p, q = _in_list(student, valid), _in_list(teacher / options.temperature, valid)
        if options.divergence == "forward_kl":
            p, q = q, p
        value = (p.exp() * (p - q)).masked_fill(~valid, 0.0).sum(dim=1)
    return Loss(value, kl_estimate(tokens), torch.zeros_like(value).detach())


def _in_list(scores: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Log-probabilities [B, G] of valid candidates among each other."""
    return scores.masked_fill(~valid, torch.finfo(scores.dtype).min).log_softmax(dim=1)


def _ranknet(student: torch.Tensor, teacher: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Mean over the pairs that the teacher puts in an order, [B]; 0 where there is none."""
    pairs = (teacher[:, :, None] > teacher[:, None, :]) & valid[:, :, None] & valid[:, None, :]
    cost = functional.softplus(student[:, None, :] - student[:, :, None])
    return torch.where(pairs, cost, 0.0).sum(dim=(1, 2)) / pairs.sum(dim=(1, 2)).clamp(min=1)
