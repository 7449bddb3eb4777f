"""What re-rankers share: the lists, their aims and figures, the search for weights, and how steps follow each other."""
