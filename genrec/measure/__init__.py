"""Figures, and nothing but figures: no sentence and no picture is made here (those are genrec/report's).

- rows: the validation and test rows; predictions: models decoded over them, kept in parts; baselines: the same for them.
- bootstrap: resampled sums; comparison: ranks by (row of the table, seed) to figures, intervals and paired differences.
  It serves one run (evaluation), several recipes (recipes) and the model in service (genrec/in_service).
- score_parts: what the score of a model is made of, and its parts as models of their own; unchanged: the runs whose RL
  returned the sft model.
- lists: what recommendation lists are like, whether they hit or not.
"""
