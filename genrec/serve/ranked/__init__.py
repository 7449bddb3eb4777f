"""The artifact of the stage `rank` behind the engine: what the search and the channels find, put in the ranker's order.

    files.py     the parts of the artifact that serving needs, and the libraries that they take
    channels.py  the channels that are asked
    features.py  features as the ranker learned them, typical values where a request does not tell them
    folds.py     the mean of the models of all folds
    lists.py     candidates, scores and the list of each query
    rerank.py    the steps after the ranker
    engine.py    the engine whose lists are ranked

Nothing here is imported unless a model is served with its ranking.
"""
