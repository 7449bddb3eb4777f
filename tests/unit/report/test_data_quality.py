"""The quality of the data in words, as a table and as plots."""

from genrec.report.data_quality import filter_table, quality_plots, quarantine_plot, sentences

DISTRIBUTION = {"histogram": [{"from": 1, "to": 1, "count": 3}, {"from": 2, "to": 3, "count": 1234}], "median": 2.0}
DISTRIBUTION |= {"mean": 1.95, "max": 3}
QUALITY = {
    "time": {"kind": "clock", "first": 0, "last": 86_400_000},
    "sparsity": 0.99995,
    "sequence_lengths": DISTRIBUTION,
    "popularity": DISTRIBUTION,
    "popular_share": 0.25,
    "share_without_text": 0.125,
}


def test_the_sentences_say_when_how_sparse_how_long_how_popular_and_what_has_no_text():
    said = " ".join(sentences(QUALITY))
    assert "Events from 1970-01-01 to 1970-01-02 (UTC)." in said
    assert "99.9950% of the pairs" in said
    assert "Events of a training sequence: 1.9 on average (median 2, at most 3)" in said
    assert "the most popular 1% of the items have 25.0% of them" in said
    assert "12.5% of the items of the catalogue have no text" in said


def test_what_is_not_known_is_not_said():
    assert sentences({}) == []
    assert quality_plots({}) == []
    assert sentences({"time": {"kind": "position", "first": 0, "last": 9}}) == [
        "The timestamps are positions in a user's sequence, not times."
    ]


def test_each_filter_has_a_row_with_what_it_left_and_the_share_it_took():
    steps = [
        {"filter": "read", "users": 10, "items": 5, "interactions": 2000},
        {"filter": "k_core", "users": None, "items": None, "interactions": 1500},
        {"filter": "item_not_in_training", "users": 8, "items": 4, "interactions": 1500},
    ]
    table = filter_table(steps)
    assert [row["cells"] for row in table["rows"]] == [
        ["as read", "10", "5", "2,000", ""],
        ["k-core", "", "", "1,500", "25.0%"],
        ["items not in training", "8", "4", "1,500", "0.0%"],
    ]


def test_bins_are_named_by_their_bounds():
    lengths, popularity = quality_plots(QUALITY)
    assert (lengths.title, popularity.title) == ("Length of sequences", "Popularity of items")
    assert "2 to 3" in lengths.svg
    assert "1,234" in popularity.svg
    assert "bad json" in quarantine_plot({"bad_json": 2}).svg
