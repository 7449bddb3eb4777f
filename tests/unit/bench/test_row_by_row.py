"""The peer of the bench of full-size data does all of the work: the sequences and targets that genrec writes."""

import json
from pathlib import Path

import pytest

from genrec.config import DataConfig, PrepareConfig
from genrec.data.index import index
from genrec.data.prepare import build_shard, merge_shards
from genrec.tables import TEST_FILE, TRAIN_FILE, VALID_FILE
from tests.bench import generate_reviews
from tests.bench.row_by_row import row_by_row
from tests.support.data_samples import run_ingest


@pytest.mark.parametrize("fields", [False, True])
def test_the_row_by_row_way_finds_what_genrec_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: bool
) -> None:
    text = generate_reviews._text
    monkeypatch.setattr(generate_reviews, "_text", lambda rng, chars: text(rng, 1 << 16))
    reviews = tmp_path / "reviews"
    reviews.mkdir()
    generate_reviews._write_reviews(reviews / "part_0.jsonl.gz", 3000, 500, 250, 0)
    generate_reviews._write_items(reviews / "meta_parts.jsonl.gz", 250, 10, 0)
    config = DataConfig(source="amazon2023", path=str(reviews), max_quarantine_share=1, max_share_without_metadata=1)
    run_ingest(config, tmp_path)
    found = row_by_row([reviews / "part_0.jsonl.gz"], reviews / "meta_parts.jsonl.gz", tmp_path / "peer", fields=fields)
    for split in ("leave_one_out", "global_time"):
        folder, out = tmp_path / split, tmp_path / "peer" / split
        index(tmp_path / "ingest", PrepareConfig(split=split), folder / "index")  # type: ignore[arg-type]
        build_shard(folder / "index", 0, 1, folder / "parts")
        summary = merge_shards(folder / "index", folder / "parts", folder / "out")
        assert found[split] == (summary["users"], summary["items"], summary["interactions"])
        train = TRAIN_FILE.read(folder / "out").to_pylist()
        read = [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]
        assert [(row["user"], row["user_id"], row["items"]) for row in train] == [
            (row["user"], row["user_id"], [event[0] for event in row["items"]]) for row in read
        ]
        for file in (VALID_FILE, TEST_FILE):
            targets = file.read(folder / "out").to_pylist()
            read = [json.loads(line) for line in (out / f"{file.path(out).stem}.jsonl").read_text().splitlines()]
            assert [(row["user"], row["history_length"], row["target"]) for row in targets] == [
                (row["user"], row["history"], row["target"]) for row in read
            ]
