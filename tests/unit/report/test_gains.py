"""What RL made of recipes, in words and as a table."""

from genrec.report.gains import gain_table, meanings, sentences


def figure(before: float, after: float, ci: list[float], paid_for: bool = True) -> dict:
    relative = after / before - 1 if before else None
    return {"before": before, "after": after, "difference": after - before, "ci": ci} | {
        "relative": relative,
        "paid_for": paid_for,
    }


def gain(recipe: str, **figures: dict) -> dict:
    reported = {"rl_over_sft": 0.14, "sft_over_itemcf": 0.45 if recipe == "v2" else None}
    hits = {"hr": figure(0.1, 0.112, [0.002, 0.02]), "ndcg": figure(0.05, 0.06, [0.001, 0.02], paid_for=False)}
    return {"recipe": recipe, "unchanged": False, "reported": reported, "sft_over_itemcf": 0.4} | {
        "figures": hits | figures
    }


V2 = gain("v2", categories=figure(3.0, 3.5, [0.2, 0.8]), repeats=figure(1.0, 1.0, [0, 0], paid_for=False))
V4 = gain("v4", purchases=figure(0.08, 0.081, [-0.01, 0.02]), repeats=figure(0.0, 0.2, [-0.1, 0.4]))


def test_a_sentence_holds_measured_beside_reported_and_what_the_reward_bought():
    first, second = sentences([V2, V4], 10)
    assert first == (
        "v2, SFT to RL: HR@10 0.1000 to 0.1120 (+12.0%, reported +14%); SFT over ItemCF (+40.0%, reported +45%); "
        "categories a list 3.00 to 3.50, beyond chance."
    )
    assert second == (
        "v4, SFT to RL: HR@10 0.1000 to 0.1120 (+12.0%, reported +14%); purchases found 0.0800 to 0.0810, within chance; "
        "repeats a list 0.00 to 0.20, within chance; its reward bought none of what it pays for beside hits."
    )


def test_the_table_has_a_line_for_each_figure():
    table = gain_table([V2, V4], 10, 0.95)
    assert table["columns"][5] == "95% interval"
    assert {len(row["cells"]) for row in table["rows"]} == {len(table["columns"])}
    assert [row["cells"][1] for row in table["rows"][:4]] == ["HR@10", "NDCG@10", "categories a list", "repeats a list"]
    assert table["rows"][0]["cells"] == [
        *("v2", "HR@10", "0.1000", "0.1120", "+0.0120", "+0.0020 to +0.0200", "+12.0%", "+14%", "yes")
    ]
    assert table["rows"][-1]["cells"][6:] == ["", "", "yes"]  # no relative change from nothing
    assert [row["trained"] for row in table["rows"][:4]] == [True, False, True, False]
    assert any(meaning.startswith("repeats a list: ") for meaning in meanings(10))
