"""Channels: each module is one way to rank the whole catalogue for a history, with a `Config` and a `fit`.

They range from counts (popularity, itemcf, transitions) through factors and item embeddings (als, item2vec) to a
trained sequence model (sasrec). The report ranks them beside the models as baselines. `genrec.recall.parts` holds what
they share: training data, scorers, ranking, and the choice on validation of the options that a module lists as
`CHOICES`. This package holds channels alone: its listing is what a config chooses from.
"""
