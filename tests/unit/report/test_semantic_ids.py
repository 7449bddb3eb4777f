"""Plots of the quality report."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from genrec.config import SidConfig
from genrec.report.semantic_ids import sid_plots
from genrec.sid.assign import assign
from tests.support.sid_samples import clustered, write_inputs
from tests.unit.sid.test_fusion import write_train


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sid")
    train = write_train(folder, np.random.default_rng(0).integers(0, 60, (30, 6)).tolist())
    assign(*write_inputs(folder, clustered(60, 6, 10, seed=0)), SidConfig(num_codes=8), 0, folder, train, device="cpu")
    return folder


def test_every_part_of_the_report_is_drawn(artifact):
    made = sid_plots(artifact)
    titles = [plot.title for plot in made]
    assert titles == [
        *("Cluster sizes", "Reconstruction error", "Neighbours share prefixes", "Fan-out", "Churn between two fits"),
    ]
    for plot in made:
        ElementTree.fromstring(plot.svg)
        assert plot.note


def test_popularity_is_drawn_where_it_was_measured(artifact, tmp_path):
    quality = json.loads((artifact / "quality.json").read_text())
    curve = np.linspace(0, 1, 21).tolist()
    quality["popularity"] = [{"depth": 1, "num_prefixes": 8, "top_10_percent_share": 0.25, "curve": curve}]
    (tmp_path / "quality.json").write_text(json.dumps(quality))
    plot = next(p for p in sid_plots(tmp_path) if p.title == "Popularity over prefixes")
    assert "25% behind a tenth of 8" in plot.note


def test_an_artifact_without_a_report_has_no_plots(tmp_path):
    assert sid_plots(tmp_path) == []
