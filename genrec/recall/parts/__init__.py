"""What channels are made of: training data and scorers, ranking, SASRec's network and its training. No channels here."""
