"""A batch in sentences."""

from genrec.serve.batch.words import in_words

MADE = {
    **{"users": 1200, "by_model": 1200, "by_popularity": 0, "short": 0, "k": 10, "model": "tuesday"},
    **{"unknown_users": 0, "unknown_named": [], "repeated_users": 0, "events_of": "wednesday", "skipped_events": 0},
    **{"history_events": 9000, "status": "computed", "made_at_ms": 0, "seconds": 2.5, "users_per_s": 480.0},
    **{"shards_taken_over": 0, "path": "/lists", "parts": 1},
}


def test_a_plain_batch_says_users_model_histories_speed_and_place_and_nothing_else():
    assert in_words(MADE) == [
        "1,200 users, 1,200 lists by the model of tuesday",
        "histories: the events of wednesday, all of them",
        "searched in 2.5 s, 480 users/s",
        "lists in /lists (1 Parquet file)",
    ]


def test_what_is_unusual_is_said():
    said = "\n".join(
        in_words(
            {
                **MADE,
                **{"by_model": 1198, "by_popularity": 2, "short": 3, "unknown_users": 2, "unknown_named": ["x"]},
                **{"repeated_users": 4, "skipped_events": 5, "shards_taken_over": 6},
            }
        )
    )
    for part in (
        "1,198 lists by the model of tuesday, 2 of popular items",
        "3 lists are shorter than 10",
        "2 users of the file are not in the data and got popular items: x, ...",
        "4 rows of the users' file name a user again; each got one list",
        "5 of 9,000 events are of items that the model does not know",
        "6 shards were finished before",
    ):
        assert part in said
    assert "nothing new" in "\n".join(in_words({**MADE, "status": "cached"}))
