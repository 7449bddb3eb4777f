"""Planted candidates for tests of rankers, and settings that make their training a matter of a tenth of a second."""

import numpy as np

from genrec import variants
from genrec.config.rank import RankerConfig
from genrec.rank.samples import Samples

PACKAGE = RankerConfig.variant_package
NAMES = variants.names(PACKAGE)
_DEEP = {"hidden_size": 16, "buckets": 64, "id_dim": 4, "epochs": 6, "batch_lists": 16, "learning_rate": 0.01}
SMALL = {
    "lambdamart": {"num_rounds": 40, "learning_rate": 0.2, "min_leaf_rows": 5, "feature_share": 1.0},
    "blend": {"num_rounds": 40, "learning_rate": 0.2, "min_leaf_rows": 5, "feature_share": 1.0},
    "xgboost": {"num_rounds": 40, "learning_rate": 0.2, "feature_share": 1.0},
    "deepfm": _DEEP,
    "mmoe": {**_DEEP, "num_experts": 2},
    "ple": _DEEP,
    "esmm": _DEEP,
}


def samples(features, label, *, per_list=10, tasks=None, user=None, item=None, names=None, weight=None, query=None):
    """Samples of lists of `per_list` rows; every list is a user's own, and every item has a number of its own."""
    count = len(label)
    return Samples(
        names=names or tuple(f"x{column}" for column in range(features.shape[1])),
        features=features.astype(np.float32),
        user=np.arange(count) // per_list if user is None else user,
        item=np.arange(count) % 50 if item is None else np.asarray(item, dtype=np.int64),
        label=label.astype(np.float32),
        tasks={name: values.astype(np.float32) for name, values in (tasks or {}).items()},
        weight=np.ones(count, dtype=np.float32) if weight is None else weight.astype(np.float32),
        query=query,
    )


def product_lists(num_lists=120, per_list=10, seed=0, missing=0.0):
    """Lists whose positive is the candidate with the largest product of two features, which no linear model sees.

    A third of the targets are purchases. missing: the share of the values of a third feature, noise, that are nan.
    """
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(num_lists * per_list, 4))
    product = (features[:, 0] * features[:, 1]).reshape(num_lists, per_list)
    label = (product == product.max(axis=1, keepdims=True)).astype(float).ravel()
    features[generator.random(len(features)) < missing, 2] = np.nan
    bought = np.repeat(generator.random(num_lists) < 1 / 3, per_list) * label
    return samples(features, label, per_list=per_list, tasks={"click": label, "purchase": bought})


def fitted(name, train, valid=None, seed=0, **options):
    """A ranker of the small settings, some of them others."""
    chosen = RankerConfig(name=name, options={**SMALL.get(name, {}), **options}).options
    module, config = variants.build(PACKAGE, name, chosen)
    return module.fit(train, valid, config, seed)


def loaded(name, folder):
    """What a ranker has saved."""
    return variants.load(PACKAGE, name).load(folder)
