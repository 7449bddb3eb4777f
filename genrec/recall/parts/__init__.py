"""What channels share: training data, scorers, ranking; and SASRec's network and training. No channels here."""
