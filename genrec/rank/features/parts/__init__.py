"""What the groups of features share: tables of the training data, queries, blocks, and all groups side by side."""
