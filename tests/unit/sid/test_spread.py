"""How items, events and text spread over ids."""

import numpy as np
import pytest

from genrec.embed.texts import item_texts
from genrec.sid.spread import cluster_sizes, popularity_spread, sequence_length
from tests.support.embed_tiny import catalogue_of

CODES = np.array([[0, 0, 0], [0, 0, 0], [0, 1, 2], [3, 1, 2], [0, 0, 1]], dtype=np.int32)


def test_cluster_sizes_count_codes_by_powers_of_two():
    codes = np.repeat([0, 1, 2], [1, 3, 6])[:, None]
    assert cluster_sizes(codes, 4) == [
        {"min": 0, "median": 2.0, "max": 6, "histogram": {"0": 1, "1": 1, "2-3": 1, "4-7": 1}}
    ]


def test_popularity_is_even_or_all_in_one_prefix():
    codes = np.column_stack([np.arange(10), np.zeros(10, int)])
    even = popularity_spread(codes, np.full(10, 7))[0]
    assert even["gini"] == pytest.approx(0, abs=1e-9)
    assert even["top_10_percent_share"] == pytest.approx(0.1)
    np.testing.assert_allclose(even["curve"], np.linspace(0, 1, 21))
    one = popularity_spread(codes, np.array([5] + [0] * 9))[0]
    assert one["gini"] == pytest.approx(0.9)
    assert one["largest_share"] == 1.0
    assert popularity_spread(codes, np.zeros(10, int))[1]["largest_share"] == 0


def test_sequences_are_shorter_by_ids_than_by_words():
    catalogue = catalogue_of([{"title": "Steel nut, 10 mm"}, {"title": "Lamp", "categories": ["Home", "Light"]}])
    lengths = sequence_length(catalogue, 3)
    assert lengths["text_tokens_mean"] == pytest.approx((5 + 4) / 2)  # Steel nut , 10 mm; Lamp Home > Light
    assert lengths["shortened_by"] == pytest.approx(1 - 3 / 4.5)
    assert sequence_length(catalogue_of([{}]), 3)["shortened_by"] == 0


def test_of_a_large_catalogue_a_sample_of_texts_is_read(monkeypatch):
    catalogue = catalogue_of([{"title": " ".join(["word"] * (1 + number % 9))} for number in range(900)])
    exact = sequence_length(catalogue, 3)["text_tokens_mean"]
    monkeypatch.setattr("genrec.sid.spread.MAX_TEXTS", 300)
    read = []
    monkeypatch.setattr(
        "genrec.sid.spread.item_texts", lambda table, fields: read.append(table) or item_texts(table, fields)
    )
    assert sequence_length(catalogue, 3)["text_tokens_mean"] == pytest.approx(exact, rel=0.1)
    assert [table.num_rows for table in read] == [300]
