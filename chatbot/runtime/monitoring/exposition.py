"""The counters and gauges of a bot in the Prometheus text format. No user ids in the labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from chatbot.runtime.metrics import Histogram, Metrics
from chatbot.version import __version__

from .gauges import Gauges

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_PREFIX: Final = "chatbot_"


def exposition(metrics: Metrics, gauges: Gauges | None) -> bytes:
    """What Prometheus scrapes.

    Args:
        metrics: what was counted since the start.
        gauges: what is as it is now; None while the bot is starting or stopping.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot([*_counters(metrics), *_gauges(gauges)]))
    return generate_latest(registry)


class _Snapshot(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _counters(metrics: Metrics) -> Iterator[Metric]:
    yield _labelled("messages_in", "Messages handled", ("chat",), metrics.messages_in)
    yield _labelled("messages_out", "Messages sent", ("chat",), metrics.messages_out)
    yield _labelled(
        "undecryptable", "Messages that could not be decrypted", ("reason",), metrics.undecryptable
    )
    yield _labelled("handlers", "Ends of handlers", ("plugin", "outcome"), metrics.outcomes)
    yield _labelled("refused", "Commands that were refused", ("rule",), metrics.refused)
    yield _labelled("job_runs", "Runs of jobs", ("plugin", "outcome"), metrics.job_runs)
    yield _counter("retried", "Messages and job runs put off for another try", metrics.retried)
    yield _counter("parked", "Messages and job runs given up", metrics.parked)
    yield _counter("reconnects", "Connections after the first", metrics.reconnects)
    yield _histogram("handler_seconds", "How long handlers took", metrics.handler_seconds)
    yield _histogram("commit_units", "Units of work in a transaction", metrics.commit_units)
    yield _histogram("commit_seconds", "How long transactions took", metrics.commit_seconds)


def _gauges(gauges: Gauges | None) -> Iterator[Metric]:
    yield _gauge("up", f"Whether the bot is started (version {__version__})", gauges is not None)
    if gauges is None:
        return
    yield _gauge("connected", "Whether the socket to the backend is up", gauges.connected)
    yield _gauge("lanes", "Conversations with something to be handled", gauges.lanes)
    yield _gauge("plugins", "Plugins that are loaded", gauges.plugins)
    yield _gauge("prekeys", "One-time prekeys on the backend at the last look", gauges.prekeys)
    depths = {
        "memory": gauges.in_memory,
        "inbox": gauges.inbox,
        "inbox_parked": gauges.inbox_parked,
        "outbox": gauges.outbox,
        "jobs": gauges.jobs,
        "job_runs_parked": gauges.job_runs_parked,
    }
    family = GaugeMetricFamily(f"{_PREFIX}queue_depth", "What waits", labels=("queue",))
    for queue, depth in depths.items():
        family.add_metric((queue,), depth)
    yield family


def _labelled(
    name: str,
    help_text: str,
    labels: tuple[str, ...],
    counts: Mapping[str, int] | Mapping[tuple[str, str], int],
) -> Metric:
    family = CounterMetricFamily(_PREFIX + name, help_text, labels=labels)
    for key, count in counts.items():
        family.add_metric((key,) if isinstance(key, str) else key, count)
    return family


def _counter(name: str, help_text: str, value: int) -> Metric:
    return CounterMetricFamily(_PREFIX + name, help_text, value=value)


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(_PREFIX + name, help_text, value=value)


def _histogram(name: str, help_text: str, histogram: Histogram) -> Metric:
    bounds = (*map(str, histogram.bounds), "+Inf")
    buckets = list(zip(bounds, accumulate(histogram.buckets), strict=True))
    return HistogramMetricFamily(_PREFIX + name, help_text, buckets, histogram.total)
