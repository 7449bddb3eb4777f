"""What Prometheus reads."""

from tasks.api.metrics import Metrics


def test_what_the_ranking_met_is_counted_as_it_is_when_asked():
    counted = {"list without a candidate": 2}
    metrics = Metrics(lambda: 0, lambda: counted)
    assert 'genrec_ranking_warnings_total{what="list without a candidate"} 2.0' in metrics.page().decode()
    counted["list without a candidate"] = 5
    assert 'genrec_ranking_warnings_total{what="list without a candidate"} 5.0' in metrics.page().decode()


def test_without_a_ranking_nothing_is_counted():
    assert "genrec_ranking_warnings_total{" not in Metrics(lambda: 0).page().decode()
