"""Adapters put into the weights they were trained beside, for a model that only answers from then on.

A LoRA adapter on all linear layers of Qwen2.5-3B (7 in each of 36) adds two products, a cast and a sum to each of them: some
1,000 launches in a forward of a GPU that has about as many without, and its small products are the slow ones. Merged
they cost nothing. The sum of two matrices is rounded once more where weights are bfloat16, about as much as any product
there; in float32 the scores stay the same to the last digits.

NF4 weights stay as they are, with their adapter beside them: a sum would have to be rounded to 4 bits again, which is
another model. Of P-Tuning v2 the rows of the embedding are merged; the prefix is no change of a weight and stays.
"""

from typing import Any

from genrec.model.policy import Policy


def merge_adapter(policy: Policy) -> bool:
    """Merge the adapter of a policy into its weights, in place; whether there was one that can be. It is not to be trained or
    saved afterwards.
    """
    if not policy.has_adapter or _is_quantized(policy.model):
        return False
    policy.model = policy.model.merge_and_unload()  # type: ignore[operator]
    policy.model.eval()
    return True


def _is_quantized(model: Any) -> bool:
    return any(type(parameter).__name__ == "Params4bit" for parameter in model.parameters())
