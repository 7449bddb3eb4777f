"""What re-ranking gains and costs on the synthetic shop, on validation users alone.

    python -m tests.bench.bench_rerank [--users 3500] [--seeds 0 1 2] [--lists 30000] [--only fusion|policies|steps]

Half of the users tune, the other half judge, in both roles: every user is judged once. Judged by the logged events and,
in place of the one event drawn, by the chances of the shop's simulated customer.
fusion: the weights found by each search beside equal weights of all aims, as strong as the same bound of NDCG allows.
policies: DDPG beside CEM at the same number of sorted lists, tuned on logged events and on the simulated customer.
steps: fusion, MMR, DPP, caps and rules one after the other, what each gains and costs.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from genrec import variants
from genrec.rank.rerank import PACKAGE, ddpg, fusion
from genrec.rank.rerank.parts import aims, figures, steps
from genrec.rank.rerank.parts.evaluator import Evaluator
from genrec.rank.rerank.parts.fused import weights_of
from genrec.rank.rerank.parts.goal import Goal, figures_wanted
from genrec.rank.rerank.parts.lists import Lists, shown
from genrec.rank.rerank.parts.rewards import ListFigures, rewards, shrunk
from genrec.rank.rerank.parts.search import search
from tests.bench.rerank_shop import shop_lists

K, BOUND = 10, 1.0
SHOWN = (
    f"ndcg@{K}",
    f"hr@{K}",
    f"purchases@{K}",
    figures.PURCHASES_AMONG_HITS,
    f"diversity@{K}",
    f"novelty@{K}",
    f"price@{K}",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=3500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--lists", type=int, default=30_000)
    parser.add_argument("--only", choices=("fusion", "policies", "steps"))
    parser.add_argument("--folder", type=Path, default=None)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made, chances = shop_lists(args.folder or Path(folder), args.users)
    held = float(made.outcome["next"].sum(axis=1).mean())
    print(json.dumps({"users": len(made), "candidates": made.width, "hold the target": round(held, 4)}))
    if args.only in (None, "fusion"):
        for loss in (0.01, 0.05):
            fusions(made, chances, args.seeds, loss)
    if args.only in (None, "policies"):
        policies(made, chances, args.seeds, args.lists)
    if args.only in (None, "steps"):
        in_turn(made)


def halves(made: Lists) -> list[tuple[np.ndarray, np.ndarray]]:
    """(users that tune, users that judge), twice. The ranker's halves are crossed with these."""
    side = (np.arange(len(made)) // 2) % 2 == 0
    return [(np.flatnonzero(side), np.flatnonzero(~side)), (np.flatnonzero(~side), np.flatnonzero(side))]


def judged(label: str, made: Lists, chances: dict, orders: dict[str, np.ndarray], **more: object) -> None:
    """Print the figures of the last order beside the first, by logged events and by the customer's chances."""
    for by, outcome in (("events", made.outcome), ("chances", chances)):
        rows = figures.table(replace(made, outcome=outcome), list(orders.items()))
        found = {
            row["figure"]: [round(row["before"], 4), round(row["after"], 4), [round(x, 4) for x in row["ci"]]]
            for row in rows
            if row["figure"] in SHOWN and (by == "events" or row["figure"] in SHOWN[:4])
        }
        print(json.dumps({"what": label, "by": by, **more, **found}), flush=True)


# ---- fusion beside equal weights --------------------------------------------------------------------------------------


def fusions(made: Lists, chances: dict, seeds: list[int], loss: float) -> None:
    equal = assembled(made, lambda part: equal_weights(part, loss))
    judged(
        "equal weights over the lists as they came",
        made,
        chances,
        {"before": unchanged(made), "equal": equal},
        loss=loss,
    )
    for method in ("cem", "pso", "one_plus_one", "portfolio"):
        for seed in seeds if method == "portfolio" else seeds[:1]:
            began, speed = time.perf_counter(), []

            def tuned(part: Lists, method: str = method, seed: int = seed, speed: list = speed) -> fusion.Fusion:
                config = variants.build(PACKAGE, "fusion", {"search": method, "max_ndcg_loss": loss})[1]
                found = fusion.tune(part, config, K, seed)
                speed.append(found.evaluations_per_s)
                return found

            order = assembled(made, tuned)
            cost = {"loss": loss, "search": method, "seed": seed, "seconds": round(time.perf_counter() - began, 1)}
            cost["evaluations_per_s"] = round(float(np.mean(speed)))
            judged("fusion over the lists as they came", made, chances, {"before": unchanged(made), "f": order}, **cost)
            judged("fusion over equal weights", made, chances, {"equal": equal, "f": order}, **cost)


def equal_weights(part: Lists, loss: float) -> fusion.Fusion:
    """All aims but relevance with one weight, positive, the greatest that NDCG allows on the users that tune."""
    names = aims.names_of(part)
    evaluate = Evaluator(part, names, ("purchases",), K)
    strengths = np.linspace(0, BOUND, 401)
    weights = np.column_stack([np.ones(401), *[strengths] * (len(names) - 1)])
    ndcg = evaluate(weights)["ndcg"]
    allowed = np.flatnonzero(ndcg >= (1 - loss) * ndcg[0])
    return fusion.Fusion(names, {fusion.GLOBAL: weights[allowed[-1]]})


def unchanged(made: Lists) -> np.ndarray:
    return shown(made, np.broadcast_to(np.arange(made.width), made.item.shape), K)


def assembled(made: Lists, tune) -> np.ndarray:
    """Columns shown, int64 [U, K]: each half of the users by what was tuned on the other."""
    result = np.full((len(made), K), -1, dtype=np.int64)
    for tuning, judging in halves(made):
        reranker, part = tune(made.rows(tuning)), made.rows(judging)
        result[judging] = shown(part, reranker.rerank(part, K).order, K)
    return result


# ---- DDPG beside CEM --------------------------------------------------------------------------------------------------


def policies(made: Lists, chances: dict, seeds: list[int], budget: int, only: str = "") -> None:
    for against, outcome in (("logged events", made.outcome), ("simulated customer", chances)):
        if only and only != against:
            continue
        on = replace(made, outcome=outcome)
        for seed in seeds:
            orders = {}
            for name, tune in (("cem", cem_on_lists), ("ddpg", ddpg_on_lists)):
                began = time.perf_counter()
                orders[name] = assembled(on, lambda part, tune=tune, seed=seed: tune(part, seed, budget))
                cost = {
                    "against": against,
                    "seed": seed,
                    "lists": budget,
                    "seconds": round(time.perf_counter() - began, 1),
                }
                judged(
                    f"{name} over the lists as they came",
                    made,
                    chances,
                    {"b": unchanged(made), name: orders[name]},
                    **cost,
                )
            judged("ddpg over cem", made, chances, orders, against=against, seed=seed)


def ddpg_on_lists(part: Lists, seed: int, budget: int) -> ddpg.Ddpg:
    config = variants.build(PACKAGE, "ddpg", {"lists": budget, "max_ndcg_loss": 0.01})[1]
    return ddpg.tune(part, config, K, seed)


def cem_on_lists(part: Lists, seed: int, budget: int, at_once: int = 100, population: int = 25) -> fusion.Fusion:
    """One set of weights by CEM from the rewards that DDPG sees: each weight vector on `at_once` lists, the same for all of
    a generation; then shrunk as DDPG's actions are.
    """
    names, config = aims.names_of(part), ddpg.Config()
    measured = ListFigures(part, names, figures_wanted(config.aims, names), K)
    before = {name: float(values.mean()) for name, values in measured.unchanged.items()}
    goal, generator = Goal(config.aims, before, 0.01), np.random.default_rng(seed)

    def score(free: np.ndarray) -> np.ndarray:
        rows = generator.choice(len(part), at_once, replace=False)
        gains = []
        for vector in free:
            weights = np.tile(weights_of(vector[None], BOUND), (at_once, 1))
            gains.append(rewards(measured, goal, config.ndcg_weight, rows, weights).mean())
        return np.array(gains)

    start = np.zeros(len(names) - 1)
    found = search("cem", score, start, bound=1.0, budget=budget // at_once - 1, seed=seed, population=population)
    scale = shrunk(
        measured,
        goal,
        np.arange(len(part)),
        lambda scale: np.tile(weights_of(found[None], BOUND * scale), (len(part), 1)),
    )
    return fusion.Fusion(names, {fusion.GLOBAL: weights_of(found[None], BOUND * scale)[0]})


# ---- steps in turn ----------------------------------------------------------------------------------------------------

STEPS = (
    ("fusion", {"max_ndcg_loss": 0.01, "aims": {"purchase": 1.0, "diversity": 0.2, "novelty": 0.2}}),
    ("mmr", {"relevance_weight": 0.9}),
    ("dpp", {"relevance_weight": 0.9}),
    ("caps", {"category": 3, "brand": 5, "spread": 1}),
    ("rules", {"rules": [{"action": "boost", "new": True, "places": 3}]}),
)


def in_turn(made: Lists) -> None:
    tuning, judging = halves(made)[0]
    for number in range(len(STEPS)):
        alone = steps.tune([STEPS[number]], made.rows(tuning), K, 0)
        print(figures.as_text([r for r in alone.table(made.rows(judging), K) if r["figure"] in SHOWN]), flush=True)
    together = steps.tune([STEPS[0], STEPS[1], STEPS[3], STEPS[4]], made.rows(tuning), K, 0)
    print("in turn")
    print(figures.as_text([r for r in together.table(made.rows(judging), K) if r["figure"] in SHOWN]))
    print(json.dumps(together.steps[0].reranker.state()["weights"]))


if __name__ == "__main__":
    main()
