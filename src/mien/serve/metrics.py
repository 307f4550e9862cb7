"""What the service counts, in Prometheus's text format; nothing of any person is in it."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
STAGE_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
AGE_BUCKETS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.5, 3)


class Metrics:
    """The counts of one service."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = Counter(
            "mien_requests", "Requests answered", ["route", "status"], registry=registry
        )
        self.errors = Counter(
            "mien_errors", "Requests that ended in an error", ["type"], registry=registry
        )
        self.queue = Gauge("mien_queue_length", "Requests that wait", registry=registry)
        self.reading = Gauge("mien_clips_read_now", "Clips being read", registry=registry)
        self.live = Gauge("mien_live_sessions", "Live sessions", registry=registry)
        self.restarts = Counter(
            "mien_worker_restarts", "Workers that had to be replaced", registry=registry
        )
        self.seconds = Histogram(
            "mien_stage_seconds",
            "Time of a stage of an answer",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self.age = Histogram(
            "mien_live_frame_age_seconds",
            "Age of the newest frame that a live answer rests on",
            buckets=AGE_BUCKETS,
            registry=registry,
        )

    def took(self, seconds: Mapping[str, float]) -> None:
        """Count the time of each stage of an answer."""
        for stage, value in seconds.items():
            self.seconds.labels(stage).observe(value)

    def text(self) -> bytes:
        """Give all counts."""
        return generate_latest(self._registry)
