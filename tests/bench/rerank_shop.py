"""Candidate lists of a synthetic shop for benchmarks of re-rankers: channels, a ranker, a model of purchases, prices.

Validation rows alone. The ranker is learned on other users than those whose lists it scores (two halves in turn), and the
model of purchases on the training events.
"""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from genrec import tables, variants
from genrec.config import DataConfig
from genrec.data.shop.files import METADATA
from genrec.embed.vectors import read_item_vectors
from genrec.measure.baselines import read_training
from genrec.measure.rows import read_rows
from genrec.progress import silent
from genrec.rank.rerank.parts.build import facts_of, lists_of
from genrec.rank.rerank.parts.lists import ItemFacts, Lists
from genrec.rank.rerank.parts.simulated import Shop
from genrec.recall.parts.ranking import rank
from tests.bench.sid_data import prepared

CHANNELS = ("itemcf", "transitions", "content")
PER_CHANNEL, LIMIT = 60, 100


@dataclass(frozen=True)
class Items:
    """The catalogue: ids, facts, aims by item and prices, training events."""

    ids: list[str]
    facts: ItemFacts
    aims: dict[str, np.ndarray]
    price: np.ndarray
    count: np.ndarray

    @property
    def brand(self) -> np.ndarray:
        return self.facts.brand


Ranked = tuple[np.ndarray, np.ndarray]  # items and scores [U, n], -1 = none


def shop_lists(
    folder: Path, num_users: int, num_items: int = 800, others: Sequence[Ranked] = ()
) -> tuple[Lists, dict[str, np.ndarray]]:
    """Lists with logged outcomes, and `next` and `purchase` of the simulated customer for the same candidates.

    others: what further channels (a trained model) rank for the same validation rows.
    """
    options = {"num_users": num_users, "num_items": num_items, "mean_events": 9.5}
    data = prepared(f"shop{num_users}", folder, DataConfig(source="synthetic", options=options))
    items = _items(data, folder / f"shop{num_users}-ingest" / "source" / METADATA)
    rows = read_rows(data, "valid")
    targets = tables.VALID_FILE.read(data, ["target_event", "timestamp"])
    bought = np.array([event == "purchase" for event in targets["target_event"].to_pylist()])
    training = read_training(data, tables.VECTORS_FILE.path(data), 0, silent)
    found = list(others)
    for name in CHANNELS:
        module, config = variants.build("genrec.recall", name, {})
        found.append(rank(module.fit(training, config), rows.histories, PER_CHANNEL, drop_seen=True))
    user, item, channels = _merged(found, items)
    kinds = _kinds(data, rows.users, rows.histories)
    features = np.column_stack([channels, _features(user, item, rows.histories, kinds, items)])
    label = item == rows.targets[user]
    relevance = _ranked(features, user, label, len(rows))
    purchase = _purchases(data, items).predict_proba(_features(user, item, rows.histories, kinds, items))[:, 1]
    made = lists_of(
        users=np.arange(len(rows)),
        user=user,
        item=item,
        score=relevance.astype(np.float32),
        facts=items.facts,
        aims={"purchase": purchase.astype(np.float32)},
        item_aims=items.aims,
        limit=LIMIT,
        features=_profiles(rows.histories, kinds, items),
        target=rows.targets.astype(np.int64),
        bought=bought,
    )
    shop = Shop(num_users=num_users, num_items=num_items, seed=0)
    ids = tables.USERS_FILE.read(data, ["user_id"])["user_id"].to_pylist()
    chances = shop.outcome(
        made.item, items.ids, [ids[u] for u in rows.users], rows.histories, targets["timestamp"].to_numpy()
    )
    return made, chances


def _items(data: Path, metadata: Path) -> Items:
    table = tables.CATALOGUE_FILE.read(data, ["item_id", "brand", "categories", "train_count"])
    with gzip.open(metadata) as file:
        lines = [line for line in file if line.startswith(b"{")]
    prices: dict[str, float] = {}
    for line in lines:
        try:
            record = orjson.loads(line)
            prices[record["parent_asin"]] = float(record["price"])
        except (orjson.JSONDecodeError, KeyError):
            continue
    ids = table["item_id"].to_pylist()
    facts, by_item = facts_of(table, read_item_vectors(tables.VECTORS_FILE.path(data)))
    price = np.array([prices.get(name, np.nan) for name in ids])
    return Items(ids, facts, {**by_item, "price": price}, price, table["train_count"].to_numpy())


def _merged(found: list[Ranked], items: Items) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidates of all channels, user by user: user, item, and score and reciprocal rank of each channel."""
    num_items = len(items.ids)
    keys = [np.repeat(np.arange(len(i)), i.shape[1]) * num_items + i.ravel() for i, _ in found]
    keys = [key[i.ravel() >= 0] for key, (i, _) in zip(keys, found, strict=True)]
    union = np.unique(np.concatenate(keys))
    columns = []
    for key, (item, score) in zip(keys, found, strict=True):
        at = np.searchsorted(union, key)
        ranks = np.broadcast_to(np.arange(item.shape[1]), item.shape)[item >= 0]
        for values in (score[item >= 0], 1 / (ranks + 1.0)):
            column = np.zeros(len(union))
            column[at] = values
            columns.append(column)
    return union // num_items, union % num_items, np.column_stack(columns)


def _kinds(data: Path, users: np.ndarray, histories: list[np.ndarray]) -> list[np.ndarray]:
    """Whether each event of the histories was a purchase."""
    table = tables.HISTORIES_FILE.read(data, ["user", "events"])
    of_user = dict(zip(table["user"].to_pylist(), table["events"].to_pylist(), strict=True))
    return [np.array(of_user[u][: len(h)]) == "purchase" for u, h in zip(users.tolist(), histories, strict=True)]


def _features(user, item, histories, kinds, items: Items) -> np.ndarray:
    """Of user and item: what the history says of the brand, the price and purchases, and popularity. [R, 9]"""
    brands = len(items.facts.brand_names)
    price = np.nan_to_num(items.price, nan=float(np.nanmean(items.price)))
    profile, liked = np.zeros((len(histories), 5)), np.zeros((len(histories), 2, brands))
    for row, (history, bought) in enumerate(zip(histories, kinds, strict=True)):
        np.add.at(liked[row, 0], items.brand[history], 1)
        np.add.at(liked[row, 1], items.brand[history], bought)
        level = price[history]
        profile[row] = [
            bought.mean(),
            len(history),
            level.mean(),
            level[bought].mean() if bought.any() else level.mean(),
            1,
        ]
    seen, paid = (liked[user, side, items.brand[item]] for side in (0, 1))
    own = profile[user]
    gap = price[item] - own[:, 3]
    share = (paid + own[:, 0]) / (seen + 1)
    popularity = np.log1p(items.count[item])
    return np.column_stack(
        [own[:, 0], own[:, 1], seen / own[:, 1], share, gap, np.abs(gap), price[item], popularity, paid]
    )


def _profiles(histories, kinds, items: Items) -> np.ndarray:
    """Features of the users: purchases, activity, price level, shares of the brands. float32 [U, 4 + brands]"""
    price = np.nan_to_num(items.price, nan=float(np.nanmean(items.price)))
    rows = [
        [b.mean(), len(h), price[h].mean(), price[h].std(), *np.bincount(items.brand[h], minlength=len(items.facts.brand_names)) / len(h)]
        for h, b in zip(histories, kinds, strict=True)
    ]  # fmt: skip
    return np.array(rows, dtype=np.float32)


def _ranked(features: np.ndarray, user: np.ndarray, label: np.ndarray, num_users: int) -> np.ndarray:
    """Scores by LambdaMART, learned on the other half of the users."""
    import lightgbm

    score = np.zeros(len(user))
    for half in (0, 1):
        learned, scored = user % 2 != half, user % 2 == half
        groups = np.bincount(user[learned], minlength=num_users)
        model = lightgbm.LGBMRanker(
            n_estimators=120,
            num_leaves=15,
            learning_rate=0.06,
            min_child_samples=50,
            verbose=-1,
            n_jobs=1,
            random_state=0,
        )
        model.fit(features[learned], label[learned], group=groups[groups > 0])
        score[scored] = model.predict(features[scored])
    return score


def _purchases(data: Path, items: Items):
    """A model of whether an event is a purchase, from the last training events of each user and what came before."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    table = tables.TRAIN_FILE.read(data, ["items", "events"])
    histories, kinds, item, label = [], [], [], []
    for sequence, events in zip(table["items"].to_pylist(), table["events"].to_pylist(), strict=True):
        bought = np.array(events) == "purchase"
        for at in range(max(2, len(sequence) - 3), len(sequence)):
            histories.append(np.array(sequence[:at]))
            kinds.append(bought[:at])
            item.append(sequence[at])
            label.append(bought[at])
    rows = np.arange(len(item))
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(
        _features(rows, np.array(item), histories, kinds, items), np.array(label)
    )
