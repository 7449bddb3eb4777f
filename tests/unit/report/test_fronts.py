"""The front's plots show every aim against NDCG, with the chosen point."""

import xml.etree.ElementTree as ElementTree

from genrec.report.fronts import front_plots

FRONT = {
    "k": 10,
    "max_ndcg_loss": 0.01,
    "figures": ["ndcg", "purchases", "novelty"],
    "points": [[0.20, 0.10, 9.0], [0.19, 0.12, 9.1], [0.195, 0.11, 8.0], [0.01, 0.13, 12.0]],
    "weights": [[1, 0, 0]] * 4,
    "chosen": [0.199, 0.11, 9.05],
    "before": [0.20, 0.10, 9.0],
    "equal": [0.05, 0.10, 11.0],
}


def test_one_plot_an_aim_with_the_chosen_point_and_the_bound():
    plots = front_plots(FRONT)
    assert [plot.title for plot in plots] == ["What more purchases costs", "What more novelty in bits costs"]
    for plot in plots:
        assert ElementTree.fromstring(plot.svg) is not None
        assert "chosen" in plot.svg
        assert "NDCG@10" in plot.svg
        assert "equal weights" not in plot.svg
        assert "All aims weighted alike give NDCG 0.0500" in plot.note
    near = front_plots({**FRONT, "equal": [0.18, 0.10, 9.0]})
    assert "equal weights" in near[0].svg
    assert "weighted alike" not in near[0].note


def test_nothing_is_drawn_where_nothing_was_wanted():
    assert front_plots({**FRONT, "figures": ["ndcg"], "points": [[0.2]]}) == []
