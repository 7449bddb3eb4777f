"""Recommendations that a person can judge."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genrec import tables
from genrec.measure.predictions import read_predictions
from genrec.measure.rows import measured_rows, read_rows
from genrec.report.results import rows_of


def recommendation_examples(
    report: Mapping[str, Any], evaluate: Path, prepared: Path, num_rows: int = 3
) -> list[dict[str, Any]]:
    """Test rows at even distances with the list of the last trained (else best) model: no hand-picking."""
    rows = rows_of(report)
    model = next((row["model"] for row in rows if row["recipe"] is not None and row["final"]), rows[0]["model"])
    table = read_predictions(evaluate, model, report["protocol"]["seen_items"], ["target", "rank", "items"])
    places = np.unique(np.linspace(0, len(table) - 1, num_rows + 2).round().astype(int)[1:-1])
    histories = read_rows(prepared, "test", measured_rows(prepared, report["protocol"])[places]).histories
    names = tables.CATALOGUE_FILE.read(prepared, ["item_id", "title"])
    titles = [item["title"] or item["item_id"] for item in names.to_pylist()]
    return [
        {
            "model": model,
            "history": [titles[i] for i in history[-5:]],
            "earlier": max(0, len(history) - 5),
            "target": titles[row["target"]],
            "rank": row["rank"] + 1 if row["rank"] >= 0 else None,
            "items": [{"title": titles[i], "hit": i == row["target"]} for i in row["items"][:5]],
        }
        for row, history in zip(table.take(places).to_pylist(), histories, strict=True)
    ]
