"""Six users of a shop of eight items with times, prices, texts, brands and categories, for tests of features."""

import numpy as np
import pyarrow as pa

from genrec.rank.candidates import Candidates
from genrec.rank.features.parts.context import Beams, Context
from genrec.rank.features.parts.profile import with_segments
from genrec.rank.features.parts.queries import Queries
from genrec.rank.features.parts.tables import Tables, fit_tables
from genrec.recall.parts.scorer import Training
from genrec.recall.parts.side import side_of

DAY = 86_400_000
START = 1_600_000_000_000  # milliseconds
NUM_ITEMS = 8
CATEGORIES = [["Kitchen", "Mug"]] * 3 + [["Kitchen", "Kettle"]] * 2 + [["Garden"]] + [[], ["Kitchen", "Mug"]]
BRANDS = ["A", "A", "B", "A", "B", "C", "", "A"]
SEQUENCES = [np.array(s, dtype=np.int32) for s in ([0, 1, 3], [0, 1], [0, 2, 4], [1, 2], [5, 0], [2, 5])]
DAYS = [[0, 1, 2], [10, 20], [30, 60, 90], [95, 96], [97, 98], [99, 100]]
TIMES = [START + np.array(d, dtype=np.int64) * DAY for d in DAYS]
PRICES = np.array([10, 20, 40, 10, 30, 5, np.nan, 0], dtype=np.float64)
VECTORS = np.random.default_rng(0).normal(size=(NUM_ITEMS, 5)).astype(np.float32)
VECTORS[6] = 0  # no text
CHANNELS = ("itemcf", "als")


def training(**other) -> Training:
    side = side_of(pa.table({"brand": BRANDS, "categories": pa.array(CATEGORIES, pa.list_(pa.string()))}))
    given = {"timestamps": TIMES, "vectors": VECTORS, "side": side, **other}
    return Training(SEQUENCES, NUM_ITEMS, **given)


def tables(data: Training | None = None, prices=PRICES) -> Tables:
    data = data or training()
    return with_segments(fit_tables(data, prices), data, segments=2)


def queries(*histories, now=110) -> Queries:
    """One event a day up to the day before `now`; every second one is a purchase."""
    moments = np.full(len(histories), START + now * DAY, dtype=np.int64)
    times = [START + (now - np.arange(len(h), 0, -1, dtype=np.int64)) * DAY for h in histories]
    bought = [np.arange(len(h)) % 2 == 0 for h in histories]
    return Queries([np.array(h, dtype=np.int64) for h in histories], times, bought, moments)


def candidates(*items, seed=0) -> Candidates:
    """The items of each query, with random scores of two channels, some missing."""
    rng = np.random.default_rng(seed)
    query = np.repeat(np.arange(len(items)), [len(row) for row in items])
    shape = (len(query), len(CHANNELS))
    ranks = rng.integers(-1, 9, shape).astype(np.int16)
    scores = np.where(ranks < 0, np.nan, rng.normal(size=shape)).astype(np.float32)
    item = np.concatenate([np.asarray(row, dtype=np.int64) for row in items])
    return Candidates(query, item, CHANNELS, scores, ranks, len(items))


def context(asked: Queries, found: Candidates, of: Tables | None = None, seed: int = 0) -> Context:
    rng = np.random.default_rng(seed)
    steps, dense = rng.normal(size=(2, len(found), 3)).astype(np.float32)
    steps[::2] = np.nan
    return Context(of or tables(), asked, CHANNELS, 3, Beams(steps, dense))


def one(asked: Queries, found: Candidates, whole: Context, number: int) -> tuple[Context, Candidates]:
    """The request of one query of many, and its candidates."""
    rows = found.query == number
    alone = Candidates(
        np.zeros(rows.sum(), dtype=np.int64), found.item[rows], found.channels, found.scores[rows], found.ranks[rows], 1
    )
    assert asked.times is not None
    assert asked.bought is not None
    assert asked.now is not None
    assert whole.beams is not None
    query = Queries(
        [asked.histories[number]], [asked.times[number]], [asked.bought[number]], asked.now[number : number + 1]
    )
    beams = Beams(whole.beams.steps[rows], whole.beams.dense[rows])
    return Context(whole.tables, query, CHANNELS, 3, beams), alone
