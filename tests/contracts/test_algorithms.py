"""What every algorithm of genrec/train/rl/algorithms promises."""

import pytest
import torch

from genrec import variants
from genrec.train.rl import algorithms
from genrec.train.rl.objective import Estimates, Tokens

NUM_PROMPTS, NUM_CANDIDATES, NUM_LEVELS = 3, 5, 2
NAMES = variants.names(algorithms.PACKAGE)


@pytest.fixture(params=NAMES)
def algorithm(request):
    return variants.build(algorithms.PACKAGE, request.param, {})


def make_tokens(algorithm, seed: int = 0) -> tuple[Tokens, torch.Tensor]:
    """Tokens as the learner fills them, and their log-probabilities, a leaf. The last candidate of prompt 0 is missing."""
    module, options = algorithm
    generator = torch.Generator().manual_seed(seed)
    shape = (NUM_PROMPTS, NUM_CANDIDATES, NUM_LEVELS)

    def draw(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator)

    valid = torch.ones(shape[:2], dtype=torch.bool)
    valid[0, -1] = False
    values = draw(*shape) if module.NEEDS_VALUES else None
    judged = module.estimate(draw(*shape[:2]), values, valid, options)
    old = -draw(*shape).abs()
    log_probs = (old - 0.05 * draw(*shape).abs()).requires_grad_()
    tokens = Tokens(
        log_probs=log_probs,
        old_log_probs=old,
        reference_log_probs=old - 0.1,
        advantage=judged.advantage,
        valid=valid,
        values=values,
        old_values=values,
        returns=judged.returns,
        teacher=draw(*shape[:2]) if module.NEEDS_TEACHER else None,
    )
    return tokens, log_probs


def total(loss) -> torch.Tensor:
    return loss.policy + 0.1 * loss.kl + (0.0 if loss.value is None else loss.value)


def test_an_algorithm_says_what_it_needs(algorithm):
    module, options = algorithm
    assert isinstance(module.NEEDS_VALUES, bool)
    assert isinstance(module.NEEDS_TEACHER, bool)
    assert options.inner_steps >= 1
    if module.NEEDS_TEACHER:
        assert options.teacher in ("sft", "dense", "transitions", "mix")
        assert 0 <= options.transition_share <= 1


def test_estimates_fit_the_tokens_and_leave_out_what_is_missing(algorithm):
    module, options = algorithm
    valid = torch.ones(NUM_PROMPTS, NUM_CANDIDATES, dtype=torch.bool)
    valid[0, -1] = False
    values = torch.zeros(NUM_PROMPTS, NUM_CANDIDATES, NUM_LEVELS) if module.NEEDS_VALUES else None
    judged = module.estimate(torch.rand(NUM_PROMPTS, NUM_CANDIDATES), values, valid, options)
    assert isinstance(judged, Estimates)
    shape = (NUM_PROMPTS, NUM_CANDIDATES, NUM_LEVELS)
    assert torch.broadcast_shapes(judged.advantage.shape, shape) == shape
    assert (judged.advantage[0, -1] == 0).all()


def test_a_loss_is_one_number_a_prompt_with_gradients_where_there_are_candidates(algorithm):
    module, options = algorithm
    tokens, log_probs = make_tokens(algorithm)
    loss = module.loss(tokens, options)
    for part in (loss.policy, loss.kl, loss.clipped):
        assert part.shape == (NUM_PROMPTS,)
        assert part.isfinite().all()
    assert not loss.clipped.requires_grad
    assert (loss.kl >= 0).all()
    total(loss).sum().backward()
    assert log_probs.grad.isfinite().all()
    assert (log_probs.grad[0, -1] == 0).all()
    assert (log_probs.grad[tokens.valid] != 0).any()


def test_what_stands_in_the_place_of_a_missing_candidate_does_not_matter(algorithm):
    module, options = algorithm
    tokens, log_probs = make_tokens(algorithm)
    with torch.no_grad():
        broken = log_probs.clone()
        broken[0, -1] = torch.nan
    other = tokens._replace(log_probs=broken)
    assert torch.equal(total(module.loss(tokens, options)), total(module.loss(other, options)))


def test_prompts_do_not_know_of_each_other(algorithm):
    module, options = algorithm
    tokens, _ = make_tokens(algorithm)
    whole = total(module.loss(tokens, options))
    for place in range(NUM_PROMPTS):
        alone = Tokens(*(None if part is None else part[place : place + 1] for part in tokens))
        torch.testing.assert_close(total(module.loss(alone, options)), whole[place : place + 1])
