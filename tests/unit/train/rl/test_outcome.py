"""The sentences that say what reinforcement learning came to."""

from genrec.train.rl.outcome import outcome, reward_notes


def look(step: int, gain: float, loss: float = 0.0, passed: bool = False, allowed: float = 0.02) -> dict:
    ci = [gain - 0.01, gain + 0.01]
    return {"step": step, "reward": 0.1 + gain, "gain": gain, "ci": ci, "loss": loss} | {
        "guarded": loss <= allowed,
        "passed": passed,
    }


def gate(*looks: dict) -> dict:
    return {"metric": "reward", "guard": "ndcg@10", "max_loss": 0.02, "confidence": 0.95, "looks": list(looks)}


def test_a_checkpoint_that_is_returned_is_named_with_its_gain():
    said = outcome(gate(look(20, 0.005), look(40, 0.03, passed=True)), best_step=40)
    assert said == (
        "Step 40 is returned: the reward 0.1300 on validation, +0.0300 on the SFT model's (paired 95% interval +0.0200 to "
        "+0.0400); 1 of 2 checkpoints passed."
    )


def test_a_refusal_says_what_was_missing():
    by_chance = outcome(gate(look(20, 0.005), look(40, 0.03, loss=0.1)), best_step=0)
    assert "none of 2 checkpoints passed" in by_chance
    assert "step 20, has +0.0050" in by_chance
    assert by_chance.endswith("which chance can explain.")
    costly = outcome(gate(look(40, 0.03, loss=0.1)), best_step=0)
    assert costly.endswith("at a cost of 10.0% of NDCG@10, more than the 2.0% allowed (rl.gate.max_loss).")
    assert outcome(gate(), best_step=0) == "The SFT model is returned: no checkpoint was validated."


def compared(**change) -> dict:
    """Figures of one term before and after, and the interval of the change."""
    return {part: {"reward_new_item": value} for part, value in change.items()}


def note(best_step: int = 20, **change) -> str | None:
    return reward_notes({}, ["new_item"], compared(**change), best_step).get("new_item")


def test_a_reward_that_bought_nothing_is_said_so():
    assert note(before=0.1, after=0.2, change_ci=[0.05, 0.15]) is None
    assert note(before=0.1, after=0.11, change_ci=[-0.01, 0.03]).startswith(
        "bought nothing that is beyond chance: mean over the validation lists 0.1000, then 0.1100"
    )
    refused = note(best_step=0, before=0.1, after=0.2, change_ci=[0.05, 0.15])
    assert refused.startswith("bought nothing: the SFT model is returned (mean")
    assert note(best_step=0, before=0.1) == "bought nothing: the SFT model is returned"
    assert "is 0 for the lists of validation" in note(before=0.0, after=0.0, change_ci=[0.0, 0.0])


def test_what_the_data_says_of_a_reward_comes_first():
    known = {"new_item": "every item is old"}
    assert reward_notes(known, ["new_item"], {}, 0) == known
