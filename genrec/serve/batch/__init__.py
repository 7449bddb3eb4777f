"""Lists for every customer: planned as shards of users, each searched and written by itself, so that a run that was
killed goes on with the shards that are missing.

    ids_file.py  files with ids that people write
    filters.py   which items may come out
    plan.py      the shards, and what all of them share (the time they are made at, the newest event)
    events.py    the events of a shard's users, streamed from interactions.parquet
    lists.py     histories and filters in, lists out
    shard.py     one shard: events, lists, a Parquet part and a record of what was counted
    collect.py   the parts as an artifact, the records as a summary
    copies.py    the artifact in a folder of its user's choice
    words.py     the summary in sentences
"""
