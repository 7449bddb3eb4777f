"""Reviews and item metadata like those of Amazon Reviews 2023, as JSONL.gz, any number of them.

    python -m tests.bench.generate_reviews FOLDER --rows 20000000 --files 20 --processes 2

The fields are those of the data set (rating, title, text, images, asin, parent_asin, user_id, timestamp, helpful_vote,
verified_purchase). 571.5 million reviews of it hold 30.1 billion tokens, 53 a review (Hou et al., arXiv 2403.03952): about
230 characters of text, and about 480 bytes a line. Users and items are drawn from power laws; the text is made of words
with Zipf frequencies, so that gzip makes about as much of it as of real reviews.
"""

import argparse
import gzip
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

TEXT_CHARS = 230
GZIP_LEVEL = 6  # of gzip, and of the files of the data set
_BLOCK = 20_000
_FIRST_MS, _LAST_MS = 1_200_000_000_000, 1_690_000_000_000
_LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", dtype=np.uint8)


def generate(
    folder: Path,
    rows: int,
    files: int,
    processes: int = 2,
    seed: int = 0,
    users: int | None = None,
    items: int | None = None,
    items_a_described: int = 10,
) -> None:
    """Write `files` review files with `rows` reviews in all, and one metadata file of every `items_a_described`-th item.

    Of a fixed seed and number of files; where they are not given, users and items grow with the rows: a user has 6 reviews
    and an item 12 on average.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bounds = [rows * n // files for n in range(files + 1)]
    num_users, num_items = users or max(1, rows // 6), items or max(1, rows // 12)
    calls = [
        (folder / f"part_{n:03d}.jsonl.gz", bounds[n + 1] - bounds[n], num_users, num_items, seed + n)
        for n in range(files)
    ]
    with ProcessPoolExecutor(processes) as pool:
        for _ in pool.map(_write_reviews, *zip(*calls, strict=True)):
            pass
    _write_items(folder / "meta_parts.jsonl.gz", num_items, items_a_described, seed)


def _write_reviews(path: Path, number: int, num_users: int, num_items: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = _text(rng, 16 << 20)
    with gzip.open(path, "wb", compresslevel=GZIP_LEVEL) as out:
        for start in range(0, number, _BLOCK):
            out.write(_block(rng, words, min(_BLOCK, number - start), num_users, num_items))


def _block(rng: np.random.Generator, words: str, number: int, num_users: int, num_items: int) -> bytes:
    users = (num_users * rng.random(number) ** 2.2).astype(np.int64)
    items = (num_items * rng.random(number) ** 3).astype(np.int64)
    times = rng.integers(_FIRST_MS, _LAST_MS, number)
    lengths = np.minimum(4000, rng.lognormal(np.log(TEXT_CHARS) - 0.5, 1.0, number)).astype(np.int64)
    starts = rng.integers(0, len(words) - 4100, number)
    ratings = rng.choice([1.0, 2.0, 3.0, 4.0, 5.0], number, p=[0.1, 0.05, 0.08, 0.14, 0.63])
    votes, bought = rng.poisson(0.6, number), rng.random(number) < 0.9
    lines = [
        f'{{"rating": {rating}, "title": "{words[start : start + 24]}", "text": "{words[start : start + length]}", '
        f'"images": [], "asin": "B{item:09d}", "parent_asin": "B{item:09d}", "user_id": "{user}", '
        f'"timestamp": {time}, "helpful_vote": {vote}, "verified_purchase": {"true" if verified else "false"}}}\n'
        for rating, start, length, item, user, time, vote, verified in zip(
            ratings.tolist(),
            starts.tolist(),
            lengths.tolist(),
            items.tolist(),
            _user_ids(users),
            times.tolist(),
            votes.tolist(),
            bought.tolist(),
            strict=True,
        )
    ]
    return "".join(lines).encode()


def _user_ids(users: np.ndarray) -> list[str]:
    """Ids of 28 letters, as those of the data set; the same for the same number."""
    mixed = (users[:, None].astype(np.uint64) + np.arange(1, 4, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    shifts = np.arange(0, 50, 5, dtype=np.uint64)
    digits = (mixed[:, :, None] >> (shifts + np.uint64(7))) & np.uint64(31)
    letters = _LETTERS[digits.reshape(len(users), -1)[:, :28].astype(np.int64)]
    letters[:, 0] = ord("A")
    return [row.decode() for row in np.ascontiguousarray(letters).view("S28").ravel().tolist()]


def _text(rng: np.random.Generator, chars: int) -> str:
    """Words of Zipf frequencies with a blank between them."""
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    weights = 1 / np.arange(1, len(letters) + 1)
    lengths = rng.integers(2, 10, 20_000)
    vocabulary = ["".join(rng.choice(letters, length, p=weights / weights.sum())) for length in lengths]
    ranks = np.minimum(len(vocabulary), rng.zipf(1.25, chars // 5)) - 1
    return " ".join(vocabulary[rank] for rank in ranks.tolist())[:chars]


def _write_items(path: Path, num_items: int, every: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = _text(rng, 1 << 20)
    with gzip.open(path, "wb", compresslevel=GZIP_LEVEL) as out:
        for item in range(0, num_items, every):
            start = int(rng.integers(0, len(words) - 700))
            row = {"parent_asin": f"B{item:09d}", "title": words[start : start + 60], "store": "Brand"}
            row |= {"description": [words[start : start + 500]], "features": [], "categories": ["A", "B"]}
            out.write(json.dumps(row).encode() + b"\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    generate(asked.folder, asked.rows, asked.files, asked.processes)
