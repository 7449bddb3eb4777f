"""LSA vectors of a large catalogue: CPU time and memory by step, from generated texts.

    python -m tests.bench.bench_embed [--texts 1000000] [--exact 20000] [--out DIR]

Titles and descriptions of a catalogue are drawn from words with Zipf's frequencies, about 60 words an item (the mean of
Amazon Reviews 2023 is of that order), grouped into topics, so that there is something to find. Every step of the embed stage runs
in a process of its own, one after the other on one core, as its Ray tasks do; `peak` is the largest resident set of that
process. `--exact` so many texts are also encoded by the exact way, for the share of the sums of squares that the directions of
either capture.
"""

import argparse
import json
import multiprocessing
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from genrec.config import EmbedConfig
from genrec.embed import encode, hashed
from genrec.embed.encoders import lsa
from genrec.embed.plan import Plan, plan_texts
from genrec.embed.texts import item_texts

NUM_WORDS, NUM_TOPICS = 200_000, 500
FIELDS = ["title", "description"]


def write_catalogue(path: Path, num_items: int, seed: int = 0) -> None:
    """A catalogue with the text columns that are encoded, in row groups of 131,072 items."""
    rng = np.random.default_rng(seed)
    words = np.array([f"w{number:x}" for number in rng.permutation(NUM_WORDS)])
    schema = pa.schema([("title", pa.string()), ("description", pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, num_items, 1 << 17):
            number = min(1 << 17, num_items - start)
            columns = [_texts(rng, words, number, mean) for mean in (12, 48)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _texts(rng: np.random.Generator, words: np.ndarray, number: int, mean: int) -> pa.Array:
    lengths = np.maximum(1, rng.gamma(2.0, mean / 2, number).astype(int))
    ranks = np.minimum(rng.zipf(1.15, lengths.sum()), 1 << 40)
    topic = np.repeat(rng.integers(0, NUM_TOPICS, number), lengths)
    # The 200 most frequent words are everybody's, the others each topic's in an order of its own.
    own = (ranks * 7919 + topic * 104_729) % NUM_WORDS
    flat = pa.array(words).take(pa.array(np.where(ranks < 200, ranks, own)))
    lists = pa.LargeListArray.from_arrays(np.concatenate([[0], lengths.cumsum()]), flat)
    return pc.binary_join(lists, " ").cast(pa.string())


def measured(function: Callable[..., Any], **call: Any) -> tuple[Any, float, float]:
    """(result, seconds of CPU time, GiB at the peak) of a call in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_timed, (function, call))


def _timed(function: Callable[..., Any], call: dict[str, Any]) -> tuple[Any, float, float]:
    started = time.process_time()
    result = function(**call)
    return result, time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


def steps(catalogue: Path, folder: Path) -> list[tuple[str, float, float]]:
    """(step, seconds of CPU time, GiB) of each step of the stage."""
    config = EmbedConfig(fields=FIELDS, options={"hashed_above": 0}, num_shards=1)
    work, out, encoder = folder / "work", folder / "out", folder / "encoder"
    for path in (work, out):
        path.mkdir()
    common = {"catalogue_path": catalogue, "config": config}
    rows = []

    def step(name: str, function: Callable[..., Any], **call: Any) -> Any:
        result, seconds, gib = measured(function, **call)
        rows.append((name, seconds, gib))
        print(f"| {name} | {seconds:.1f} | {gib:.2f} |", flush=True)
        return result

    plan = step("distinct texts", plan_texts, **common, work=work)
    assert isinstance(plan, Plan)
    common["plan"] = plan
    step("fit on a sample", encode.fit_sample, **common, out=encoder)
    step("encode", encode.encode_pieces, **common, pieces=plan.shards[0], encoder=encoder)
    summary = step("write in item order", encode.write_vectors, plan=plan, config=config, out=out)
    print(json.dumps(summary), flush=True)
    return rows


def captured(catalogue: Path, num_texts: int) -> tuple[float, float, float, float]:
    """Shares of the squares of the hashed matrix along the exact and the randomized directions, and the seconds of both."""
    texts, _ = item_texts(pq.ParquetFile(catalogue).read_row_group(0).slice(0, num_texts), FIELDS)
    options = lsa.Config()
    started = time.process_time()
    model = lsa.fit_sample(texts, len(texts), options)
    randomized = time.process_time() - started
    column = hashed._columns(model.buckets)
    weights = [hashed._weighted(counts, column, model.idf) for counts in hashed._counted(texts, options.max_ngram)]
    from scipy.sparse import vstack

    matrix = vstack(weights)
    started = time.process_time()
    exact = lsa._singular_vectors(matrix, options)
    arpack = time.process_time() - started
    total = float(matrix.multiply(matrix).sum())
    shares = [float(np.square(matrix @ components.T).sum()) / total for components in (exact, model.components)]
    return shares[0], shares[1], arpack, randomized


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--exact", type=int, default=20_000)
    parser.add_argument("--out", type=Path, help="folder for the generated files, which stay; a temporary one without")
    arguments = parser.parse_args()
    folder = arguments.out or Path(tempfile.mkdtemp(prefix="bench-embed-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        catalogue = folder / "catalogue.parquet"
        write_catalogue(catalogue, arguments.texts)
        print(f"| {arguments.texts:,} texts, one core | CPU seconds | peak, GiB |\n|---|---|---|", flush=True)
        rows = steps(catalogue, folder)
        print(
            f"| all | {sum(seconds for _, seconds, _ in rows):.1f} | {max(gib for _, _, gib in rows):.2f} |", flush=True
        )
        if arguments.exact:
            exact, randomized, arpack_s, all_s = captured(catalogue, min(arguments.exact, arguments.texts))
            print(
                f"squares captured of {arguments.exact:,} texts: {exact:.4f} exact (ARPACK {arpack_s:.1f} s), "
                f"{randomized:.4f} randomized ({all_s:.1f} s with counting), ratio {randomized / exact:.5f}"
            )
    finally:
        if arguments.out is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
