"""Two models against each other on real users: who sees which, what was shown, and who wins.

What an endpoint does with each request of a user:

    experiment = Experiment.of(config.service.experiment)          # None where there is none
    impressions = ImpressionLog.open(store_root, experiment, log.name)
    arm = experiment.assign(user_id)                               # "control" | "candidate" | "interleaved"
    items, teams = interleave(control_items, candidate_items, seed=request_id, k=k)   # for "interleaved" alone
    impressions.log(request_id, user_id, arm, items, teams, model_key)
    ...
    impressions.close()                                            # writes what is in the buffer

The report (report.py, outcomes.py, sequence.py) reads these impressions and the event log.
"""

from genrec.serve.experiment.assignment import CANDIDATE, CONTROL, INTERLEAVED, Arm, Experiment
from genrec.serve.experiment.impressions import ImpressionLog, experiment_folder
from genrec.serve.experiment.interleaving import interleave

__all__ = [
    "CANDIDATE",
    "CONTROL",
    "INTERLEAVED",
    "Arm",
    "Experiment",
    "ImpressionLog",
    "experiment_folder",
    "interleave",
]
