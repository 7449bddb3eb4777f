"""Three users and a cold item for tests of channels, and settings that make their training a matter of milliseconds."""

import numpy as np

from genrec import variants
from genrec.config import RecallConfig
from genrec.recall.parts.scorer import Training

PACKAGE = "genrec.recall"
# Three users; item 5 is cold.
TRAIN = [np.array(s, dtype=np.int32) for s in ([0, 1, 2], [0, 1, 3], [1, 4])]
VECTORS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
HISTORIES = [np.array(s, dtype=np.int32) for s in ([0], [0, 1], [4], [], [5], [2, 1, 0])]


SMALL = {  # settings that make training a matter of milliseconds
    "als": {"factors": 8, "iterations": 3},
    "item2vec": {"dim": 8, "epochs": 2},
    "item2vec_side": {"dim": 8, "epochs": 2, "batch_size": 4},
    "mind": {"dim": 8, "epochs": 2},
    "sasrec": {"hidden_size": 8, "num_layers": 1, "num_heads": 1, "epochs": 2},
}


def fitted(name, sequences=TRAIN, num_items=6, *, data=None, **options):
    chosen = {**SMALL.get(name, {}), **options}
    module, config = variants.build(PACKAGE, name, RecallConfig(name=name, options=chosen).options)
    data = data or Training(sequences, num_items, vectors=VECTORS[:num_items])
    return module.fit(data, config)


def two_camps(per_camp=60, seed=0):
    """Users of two camps, each with six items of its own: every method that learns must keep them apart."""
    generator = np.random.default_rng(seed)
    return [6 * camp + generator.permutation(6)[:5].astype(np.int32) for camp in (0, 1) for _ in range(per_camp)]
