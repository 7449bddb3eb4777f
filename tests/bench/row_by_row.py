"""Reviews to sequences and both splits row by row, as scripts that come with papers do it: the peer of bench_full_size.

Every line becomes a dict by json.loads; all of them are held in a list; users and items are counted in dicts, and the list is
filtered, until nothing changes; then come a list a user, its events sorted by time, and two splits, written as JSON lines.
What such scripts also write, a row with its history for every target, is left out: what is written is what genrec writes.
`fields` keeps a small dict of a line in place of the whole one, which those scripts do not.
"""

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

FIELDS = ("user_id", "parent_asin", "timestamp", "rating", "verified_purchase")
Review = dict[str, Any]


def row_by_row(
    files: Sequence[Path], metadata: Path, out: Path, k: int = 5, fields: bool = False
) -> dict[str, tuple[int, int, int]]:
    """(users, items, events) of each split, which is written to a folder of its name in `out`."""
    titles = {}
    for line in _lines([metadata]):
        item = json.loads(line)
        titles[item["parent_asin"]] = {name: item.get(name) for name in ("title", "store", "description", "categories")}
    reviews = []
    for line in _lines(files):
        review = json.loads(line)
        reviews.append({name: review.get(name) for name in FIELDS} if fields else review)
    times = sorted(review["timestamp"] for review in reviews)
    reviews.sort(key=lambda review: review["timestamp"])
    reviews = _without_repeats(reviews)
    return {
        "leave_one_out": _leave_one_out(reviews, titles, k, out / "leave_one_out"),
        "global_time": _global_time(reviews, times, titles, k, out / "global_time"),
    }


def _lines(files: Sequence[Path]) -> Iterator[str]:
    for path in files:
        with gzip.open(path, "rt") as file:
            yield from file


def _without_repeats(reviews: list[Review]) -> list[Review]:
    """The first review of every user and item."""
    seen, kept = set(), []
    for review in reviews:
        pair = (review["user_id"], review["parent_asin"])
        if pair not in seen:
            seen.add(pair)
            kept.append(review)
    return kept


def _k_core(reviews: list[Review], k: int) -> list[Review]:
    while True:
        users: dict[str, int] = {}
        items: dict[str, int] = {}
        for review in reviews:
            users[review["user_id"]] = users.get(review["user_id"], 0) + 1
            items[review["parent_asin"]] = items.get(review["parent_asin"], 0) + 1
        kept = [r for r in reviews if users[r["user_id"]] >= k and items[r["parent_asin"]] >= k]
        if len(kept) == len(reviews):
            return kept
        reviews = kept


def _leave_one_out(reviews: list[Review], titles: dict, k: int, out: Path) -> tuple[int, int, int]:
    reviews = _k_core(reviews, k)
    sequences = _by_user(reviews)

    def part(place: int, review: Review, length: int) -> str:
        left = length - place if length >= 3 else 3
        return {1: "test", 2: "valid"}.get(left, "train")

    return _write(sequences, titles, part, set(sequences), out)


def _global_time(reviews: list[Review], times: list[int], titles: dict, k: int, out: Path) -> tuple[int, int, int]:
    valid_from, test_from = times[len(times) * 8 // 10], times[len(times) * 9 // 10]
    core = _k_core([review for review in reviews if review["timestamp"] < valid_from], k)
    users, items = {review["user_id"] for review in core}, {review["parent_asin"] for review in core}
    reviews = [review for review in reviews if review["parent_asin"] in items]
    readers = users | {review["user_id"] for review in reviews if review["timestamp"] >= valid_from}
    sequences = _by_user([review for review in reviews if review["user_id"] in readers])

    def part(place: int, review: Review, length: int) -> str:
        return "train" if review["timestamp"] < valid_from else "valid" if review["timestamp"] < test_from else "test"

    return _write(sequences, titles, part, users, out)


def _by_user(reviews: list[Review]) -> dict[str, list[Review]]:
    sequences: dict[str, list[Review]] = {}
    for review in reviews:
        sequences.setdefault(review["user_id"], []).append(review)
    return sequences


def _write(
    sequences: dict[str, list[Review]],
    titles: dict[str, dict],
    part: Callable[[int, Review, int], str],
    learnt: set[str],
    out: Path,
) -> tuple[int, int, int]:
    """train: the training items and times of each of the users `learnt`; valid, test: user, history length, target; the
    sequences that histories are cut from; the items with their texts."""
    out.mkdir(parents=True)
    items = sorted({review["parent_asin"] for reviews in sequences.values() for review in reviews})
    number = {item: place for place, item in enumerate(items)}
    users = [
        *sorted(user for user in sequences if user in learnt),
        *sorted(user for user in sequences if user not in learnt),
    ]
    files = {name: (out / f"{name}.jsonl").open("w") for name in ("train", "valid", "test", "sequences", "items")}
    for place, user in enumerate(users):
        rows: dict[str, list] = {"train": [], "valid": [], "test": []}
        sequence = []
        for before, review in enumerate(sequences[user]):
            event = "purchase" if review["verified_purchase"] else "review"
            sequence.append((number[review["parent_asin"]], review["timestamp"], event))
            rows[part(before, review, len(sequences[user]))].append((before, *sequence[-1]))
        if rows["train"] and user in learnt:
            files["train"].write(
                json.dumps({"user": place, "user_id": user, "items": [row[1:] for row in rows["train"]]}) + "\n"
            )
        files["sequences"].write(json.dumps({"user": place, "items": sequence}) + "\n")
        for name in ("valid", "test"):
            for before, target, time, event in rows[name]:
                if before:
                    files[name].write(
                        json.dumps({"user": place, "history": before, "target": target, "time": time, "event": event})
                        + "\n"
                    )
    for item in items:
        files["items"].write(json.dumps({"item": number[item], "item_id": item, **titles.get(item, {})}) + "\n")
    for file in files.values():
        file.close()
    return len(users), len(items), sum(map(len, sequences.values()))
