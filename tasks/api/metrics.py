"""What the endpoint tells Prometheus: latency, queue, batches, fallbacks, errors, the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

_SECONDS = (
    0.001,
    0.002,
    0.004,
    0.006,
    0.008,
    0.01,
    0.015,
    0.02,
    0.03,
    0.04,
    0.06,
    0.08,
    0.1,
    0.15,
    0.2,
    0.3,
    0.5,
    1,
    2,
    5,
)
_SIZES = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 256, 512)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class _OfRanking(Collector):
    """What the ranking of the model in service counts, read when Prometheus asks; another model starts at 0."""

    def __init__(self, counted: Callable[[], Mapping[str, int]]) -> None:
        self._counted = counted

    def collect(self) -> Iterator[CounterMetricFamily]:
        told = "What the ranking of lists met: lists without candidates, features that were missing, lists that it failed for."
        family = CounterMetricFamily("genrec_ranking_warnings", told, labels=["what"])
        for what, count in sorted(self._counted().items()):
            family.add_metric([what], count)
        yield family


class Metrics:
    """The metrics of one endpoint, in a registry of their own."""

    def __init__(
        self, queue_length: Callable[[], float], ranking_counted: Callable[[], Mapping[str, int]] = dict
    ) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "genrec_requests", "Requests answered, by route and status.", ["route", "status"], registry=self.registry
        )
        self.latency = Histogram(
            "genrec_request_seconds", "From the request's head to its answer, by route.", ["route"],
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.waited = Histogram(
            "genrec_queue_seconds", "Time in the queue before the search.", buckets=_SECONDS, registry=self.registry
        )
        self.batch = Histogram(
            "genrec_batch_size", "Requests that were searched together.", buckets=_SIZES, registry=self.registry
        )
        self.answers = Counter(
            "genrec_answers", "Lists by where they come from: model, popular, none.", ["source"], registry=self.registry
        )
        self.unknown = Counter(
            "genrec_unknown_items", "Ids of histories that the catalogue does not know.", registry=self.registry
        )
        self.errors = Counter(
            "genrec_errors", "Requests refused or failed, by kind.", ["error"], registry=self.registry
        )
        self.events = Counter("genrec_events", "Events that are durable.", registry=self.registry)
        self.reloads = Counter(
            "genrec_reloads", "Models taken into service, by outcome.", ["outcome"], registry=self.registry
        )
        self.model = Info("genrec_model", "The model that answers.", registry=self.registry)
        queue = Gauge("genrec_queue_length", "Requests that wait for the search.", registry=self.registry)
        queue.set_function(queue_length)
        self.registry.register(_OfRanking(ranking_counted))

    def batch_seen(self, size: int, waited_s: list[float]) -> None:
        """Count a batch and how long its requests waited."""
        self.batch.observe(size)
        for seconds in waited_s:
            self.waited.observe(seconds)

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
