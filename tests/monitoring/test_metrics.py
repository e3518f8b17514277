"""What Prometheus and OpenTelemetry see of requests, and what a ledger's follower tells."""

import re
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from costlab.errors import InvalidValueError
from costlab.events import COLUMNS, RequestEvent
from costlab.monitoring import Ledger, LedgerFollower, OtelMetrics, RequestMetrics, metrics as metrics_module
from tests import needs
from tests.events.test_request import GOOD

needs.extra("prometheus_client", "monitoring")
needs.extra("opentelemetry", "monitoring")

from opentelemetry.sdk.metrics import MeterProvider  # noqa: E402
from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: E402
from prometheus_client import CollectorRegistry, Counter, generate_latest  # noqa: E402
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics  # noqa: E402
from prometheus_client.parser import text_string_to_metric_families  # noqa: E402

LABELS = {"tier": "small", "model": "gpt-4o-mini", "outcome": "ok"}


def event(**change: Any) -> RequestEvent:
    return RequestEvent(**GOOD | change)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_an_event_is_in_every_counter_it_belongs_to(registry: CollectorRegistry) -> None:
    metrics = RequestMetrics(registry, scrape_interval_s=0)
    metrics(event(conversion_value_micro_usd=2_500_000))
    metrics(event(cost_micro_usd=None))
    wanted = {
        "costlab_requests_total": 2,
        "costlab_unpriced_requests_total": 1,
        "costlab_cost_usd_total": 0.000153,
        "costlab_input_tokens_total": 2400,
        "costlab_cached_input_tokens_total": 2000,
        "costlab_output_tokens_total": 160,
        "costlab_conversions_total": 1,
        "costlab_conversion_value_usd_total": 2.5,
        "costlab_request_duration_seconds_count": 2,
        "costlab_request_duration_seconds_sum": 0.8,
    }
    for name, value in wanted.items():
        assert registry.get_sample_value(name, LABELS) == pytest.approx(value, rel=1e-15), name


#: A request with every kind of token, each in another number.
KINDS: dict[str, Any] = {
    "input_tokens": 1000,
    "cached_input_tokens": 300,
    "cache_write_tokens": 200,
    "cache_write_1h_tokens": 150,
    "audio_input_tokens": 100,
    "cached_audio_input_tokens": 50,
    "image_input_tokens": 80,
    "output_tokens": 400,
    "reasoning_tokens": 120,
    "audio_output_tokens": 70,
    "image_output_tokens": 60,
}


def test_every_kind_of_token_that_a_request_knows_is_counted(registry: CollectorRegistry) -> None:
    assert set(KINDS) == {name for name in COLUMNS if name.endswith("_tokens")}
    metrics = RequestMetrics(registry, scrape_interval_s=0)
    seen = Seen()
    for hook in (metrics, seen.hook):
        hook(event())  # which has hardly any of them
        hook(event(**KINDS))
        hook(event(**KINDS))
    points = seen.points()
    for name, count in KINDS.items():
        wanted = 2 * count + GOOD.get(name, 0)
        assert registry.get_sample_value(f"costlab_{name}_total", LABELS) == wanted, name
        unit, (point,) = points[f"costlab.{name}"]
        assert (unit, point.value, dict(point.attributes)) == ("{token}", wanted, LABELS), name


def test_every_row_of_the_counters_has_its_own_cell(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (*metrics_module.COUNTERS, ("costlab_added", "A row that nothing counts yet.", "request"))
    monkeypatch.setattr(metrics_module, "COUNTERS", rows)
    metrics = RequestMetrics(registry, series=[("small", "gpt-4o-mini")], scrape_interval_s=0)
    names = [f"{name}_total" for name, *_ in rows]
    assert [registry.get_sample_value(name, LABELS) for name in names] == [0] * len(rows)
    metrics(event(conversion_value_micro_usd=2_500_000, latency_s=0.4))
    assert registry.get_sample_value("costlab_added_total", LABELS) == 0
    assert registry.get_sample_value("costlab_request_duration_seconds_sum", LABELS) == 0.4
    assert registry.get_sample_value("costlab_request_duration_seconds_count", LABELS) == 1


def test_latencies_fall_into_buckets_whose_ends_belong_to_them(registry: CollectorRegistry) -> None:
    metrics = RequestMetrics(registry, buckets_s=(0.1, 1.0), scrape_interval_s=0)
    for latency in (0.05, 0.1, 0.1001, 1.0, 5.0):
        metrics(event(latency_s=latency))
    name = "costlab_request_duration_seconds_bucket"
    counts = [registry.get_sample_value(name, LABELS | {"le": end}) for end in ("0.1", "1.0", "+Inf")]
    assert counts == [2, 4, 5]


def test_labels_are_tier_model_and_outcome_and_nothing_else(registry: CollectorRegistry) -> None:
    metrics = RequestMetrics(registry, scrape_interval_s=0)
    metrics(event(tenant="acme", model='odd "name"\n'))
    families = list(text_string_to_metric_families(generate_latest(registry).decode()))
    labels = {frozenset(sample.labels) - {"le"} for family in families for sample in family.samples}
    assert labels == {frozenset(LABELS)}
    assert {sample.labels["model"] for family in families for sample in family.samples} == {'odd "name"\n'}


def test_names_follow_the_conventions(registry: CollectorRegistry) -> None:
    RequestMetrics(registry, series=[("small", "m")])
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        assert re.fullmatch(r"costlab_[a-z0-9_]+", family.name)
        assert family.documentation
        if family.type == "counter":
            assert all(sample.name == f"{family.name}_total" for sample in family.samples)
        else:
            assert family.name.endswith("_seconds")  # base units


def test_series_named_beforehand_begin_at_zero(registry: CollectorRegistry) -> None:
    RequestMetrics(registry, series=[("small", "gpt-4o-mini")])
    assert registry.get_sample_value("costlab_requests_total", LABELS) == 0
    assert registry.get_sample_value("costlab_requests_total", LABELS | {"outcome": "refused"}) == 0


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_whoever_scrapes_sees_a_series_at_zero_before_it_grows(registry: CollectorRegistry) -> None:
    clock = Clock()
    metrics = RequestMetrics(registry, series=[("small", "gpt-4o-mini")], scrape_interval_s=15.0, clock=clock)

    def scrape(**labels: str) -> tuple[float | None, float | None]:
        own = LABELS | labels
        counts = registry.get_sample_value("costlab_requests_total", own)
        return counts, registry.get_sample_value("costlab_request_duration_seconds_count", own)

    for _ in range(50):
        metrics(EVENT)  # before anybody looked: named beforehand or not, the first look finds 0
    assert scrape() == (0, 0)
    clock.now_s += 7.0
    assert scrape() == (0, 0)  # another server, or a person
    clock.now_s += 8.0
    assert scrape() == (50, 50)
    metrics(EVENT)
    assert scrape() == (51, 51)  # at once from now on
    for _ in range(50):
        metrics(event(model="new"))
    assert scrape(model="new") == (0, 0)
    assert scrape() == (51, 51)
    clock.now_s += 15.0
    assert scrape(model="new") == (50, 50)


def test_the_log_says_when_series_run_short(registry: CollectorRegistry, caplog: pytest.LogCaptureFixture) -> None:
    metrics = RequestMetrics(registry, max_series=10)
    for number in range(7):
        metrics(event(model=f"m{number}"))
    assert caplog.messages == []
    for number in range(30):
        metrics(event(model=f"m{number}"))
    (message,) = caplog.messages
    assert message == (
        "8 of at most 10 combinations of tier, model and outcome; further ones will be counted as 'other'"
    )


def test_model_names_cannot_fill_the_memory(registry: CollectorRegistry) -> None:
    metrics = RequestMetrics(registry, max_series=2, scrape_interval_s=0)
    for number in range(50):
        metrics(event(model=f"m{number}"))
    other = {"tier": "other", "model": "other", "outcome": "ok"}
    assert registry.get_sample_value("costlab_requests_total", other) == 48
    assert registry.get_sample_value("costlab_requests_total", LABELS | {"model": "m1"}) == 1


def test_money_does_not_drift(registry: CollectorRegistry) -> None:
    metrics = RequestMetrics(registry, scrape_interval_s=0)
    for _ in range(100_000):
        metrics(event(cost_micro_usd=100_000))  # a tenth of a dollar, which binary fractions do not hold
    assert registry.get_sample_value("costlab_cost_usd_total", LABELS) == 10_000.0


def test_threads_lose_no_event(registry: CollectorRegistry) -> None:
    metrics = RequestMetrics(registry, scrape_interval_s=0)

    def work(_: int) -> None:
        for _ in range(2_000):
            metrics(EVENT)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert registry.get_sample_value("costlab_requests_total", LABELS) == 16_000


def test_two_in_one_registry_are_refused_and_two_registries_are_apart(registry: CollectorRegistry) -> None:
    RequestMetrics(registry)(EVENT)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        RequestMetrics(registry, scrape_interval_s=0)
    other = CollectorRegistry()
    RequestMetrics(other)
    assert other.get_sample_value("costlab_requests_total", LABELS) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"buckets_s": (1.0, 0.5)}, "buckets_s must be rising"),
        ({"buckets_s": (0.0, 0.5)}, "buckets_s must be a number > 0, got 0.0"),
        ({"max_series": 0}, "max_series must be a whole number >= 1, got 0"),
        ({"scrape_interval_s": -1.0}, "scrape_interval_s must be a number >= 0, got -1.0"),
    ],
)
def test_arguments_are_checked(registry: CollectorRegistry, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        RequestMetrics(registry, **arguments)


EVENT = event()


def test_an_event_costs_less_than_six_increments_of_the_librarys_counter(registry: CollectorRegistry) -> None:
    metrics = RequestMetrics(registry, scrape_interval_s=0)
    child = Counter("floor", "x", ["tier"], registry=registry).labels("small")

    def seconds(call: Any) -> float:
        started = time.process_time()
        for _ in range(20_000):
            call()
        return time.process_time() - started

    # 2 us against increments of 0.33 us; it was 4.9 of them where it was written.
    ratios = [seconds(lambda: metrics(EVENT)) / seconds(child.inc) for _ in range(5)]
    assert min(ratios) < 6


class Seen:
    """A hook with a reader behind it."""

    def __init__(self, provider: Any = "openai", **more: Any) -> None:
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])
        self.hook = OtelMetrics(self.meters, provider, **{"scrape_interval_s": 0.0} | more)

    def points(self) -> dict[str, tuple[str, list[Any]]]:
        data = self.reader.get_metrics_data()
        assert data is not None
        metrics = [m for r in data.resource_metrics for scope in r.scope_metrics for m in scope.metrics]
        return {metric.name: (str(metric.unit), list(metric.data.data_points)) for metric in metrics}


BASE = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini"}


def test_tokens_and_duration_follow_the_conventions() -> None:
    seen = Seen()
    seen.hook(RequestEvent(**GOOD))
    points = seen.points()
    unit, tokens = points["gen_ai.client.token.usage"]
    assert unit == "{token}"
    found = {point.attributes["gen_ai.token.type"]: (dict(point.attributes), point.sum) for point in tokens}
    assert found == {
        "input": (BASE | {"gen_ai.token.type": "input"}, 1200),  # the cached 1,000 once
        "output": (BASE | {"gen_ai.token.type": "output"}, 80),
    }
    assert list(tokens[0].explicit_bounds)[:3] == [1, 4, 16]
    assert tokens[0].explicit_bounds[-1] == 67_108_864
    unit, durations = points["gen_ai.client.operation.duration"]
    assert (unit, dict(durations[0].attributes), durations[0].sum) == ("s", BASE, 0.4)
    assert durations[0].explicit_bounds[0] == 0.01
    assert durations[0].explicit_bounds[-1] == pytest.approx(81.92)


def test_cost_is_ours_and_unpriced_is_not_zero() -> None:
    seen = Seen()
    seen.hook(RequestEvent(**GOOD))
    seen.hook(RequestEvent(**GOOD | {"cost_micro_usd": None}))
    points = seen.points()
    for name, unit, value in (
        ("costlab.requests", "{request}", 2),
        ("costlab.cost_usd", "{USD}", 0.000153),
        ("costlab.unpriced_requests", "{request}", 1),
    ):
        found, (point,) = points[name]
        assert (found, point.value, dict(point.attributes)) == (unit, value, LABELS)


def test_opentelemetry_too_sees_a_series_at_zero_before_it_grows() -> None:
    clock = Clock()
    seen = Seen(scrape_interval_s=15.0, clock=clock)

    def value() -> float:
        (point,) = seen.points()["costlab.requests"][1]
        found: float = point.value
        return found

    seen.hook(EVENT)
    assert value() == 0
    clock.now_s += 15.0
    assert value() == 1


def test_prometheus_has_one_name_for_a_metric_whichever_way_it_came(registry: CollectorRegistry) -> None:
    needs.extra("opentelemetry.exporter.prometheus", "test")
    from opentelemetry.exporter.prometheus import PrometheusMetricReader

    RequestMetrics(registry, scrape_interval_s=0)(EVENT)
    other = CollectorRegistry()
    meters = MeterProvider([PrometheusMetricReader(scope_info_enabled=False, registry=other)])
    OtelMetrics(meters, "openai", scrape_interval_s=0)(EVENT)

    def samples(shown: CollectorRegistry) -> set[tuple[str, frozenset[tuple[str, str]], float]]:
        families = text_string_to_metric_families(generate_latest(shown).decode())
        return {(one.name, frozenset(one.labels.items()), one.value) for family in families for one in family.samples}

    assert len(samples(registry)) > 30
    assert samples(registry) <= samples(other)
    assert {name.split("_")[0] for name, *_ in samples(other) - samples(registry)} == {"gen", "target"}


def test_the_log_warns_before_the_sdk_stops_to_tell_attributes_apart(caplog: pytest.LogCaptureFixture) -> None:
    seen = Seen(provider=lambda one: f"host of {one.tenant}")
    for number in range(2100):
        seen.hook(event(tenant=f"t{number}"))
        if number == 799:  # two sets a tenant where input and output are told apart
            assert caplog.messages == [
                "gen_ai.client.token.usage has 1600 sets of attributes; OpenTelemetry's SDK tells 2000 apart and adds "
                "up all others"
            ]
    assert len(caplog.messages) == 2
    assert caplog.messages[1].startswith("gen_ai.client.operation.duration has 1600 sets")
    # That the SDK does so is why.
    points = seen.points()["gen_ai.client.operation.duration"][1]
    assert len(points) == 2001
    assert sum(point.count for point in points if "gen_ai.provider.name" not in point.attributes) == 100


def test_no_number_of_models_fills_an_instrument() -> None:
    seen = Seen()
    for number in range(2100):
        seen.hook(event(model=f"m{number}"))
    points = seen.points()
    assert not [name for name, (_, own) in points.items() for one in own if "otel.metric.overflow" in one.attributes]
    assert sum(one.value for one in points["costlab.requests"][1]) == 2100


def test_failures_name_their_error_and_cached_answers_ask_no_model_for_tokens() -> None:
    seen = Seen(provider=lambda event: f"host of {event.model}")
    seen.hook(
        RequestEvent(**GOOD | {"outcome": "timeout", "input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0})
    )
    seen.hook(RequestEvent(**GOOD | {"outcome": "cached"}))
    points = seen.points()
    assert "gen_ai.client.token.usage" not in points
    errors = {point.attributes.get("error.type") for point in points["gen_ai.client.operation.duration"][1]}
    assert errors == {"timeout", None}
    providers = {point.attributes["gen_ai.provider.name"] for point in points["gen_ai.client.operation.duration"][1]}
    assert providers == {"host of gpt-4o-mini"}


def named(name: str, time_s: float) -> RequestEvent:
    return event(request_id=name, time_s=time_s)


def test_a_follower_tells_each_event_once_in_the_order_of_writing(tmp_path: Path) -> None:
    seen: list[RequestEvent] = []
    with Ledger(tmp_path / "ledger.db", batch_size=1) as book:
        for name, time_s in (("history", 5.0), ("first", 10.0), ("late", 9.0)):
            book.append(named(name, time_s))
        follower = LedgerFollower(book, seen.append, since_s=10.0)
        from_now_on = LedgerFollower(book, seen.append)
        assert (follower.poll(), follower.poll(), from_now_on.poll()) == (2, 0, 0)
        # A clock that is seven thousand years ahead, then one that is right, then one that is an hour behind.
        for name, time_s in (("future", 2.4e11), ("a", 1.8e9), ("b", 1.8e9 - 3600), ("c", 0.0)):
            book.append(named(name, time_s))
            assert follower.poll() == 1
        assert follower.poll() == 0
        assert [one.request_id for one in seen] == ["first", "late", "future", "a", "b", "c"]
        assert from_now_on.poll() == 4
        assert LedgerFollower(book, seen.append, since_s=1e13).poll() == 0


def test_a_look_where_nothing_is_new_reads_nothing_again(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db", flush_every_s=None) as book:
        for number in range(20_000):
            book.append(named(f"r-{number}", 1.8e9 + number / 1000))
        follower = LedgerFollower(book, lambda _: None, since_s=0.0)
        assert follower.poll() == 20_000
        steps: list[int] = []
        book._file.set_progress_handler(lambda: steps.append(1), 1)
        follower.poll()
        book._file.set_progress_handler(None, 1)
        assert len(steps) < 200  # of SQLite's machine; every row takes at least 15


def test_a_row_that_is_no_event_and_a_hook_that_fails_hold_up_no_other(tmp_path: Path) -> None:
    seen: list[str] = []

    def hook(one: RequestEvent) -> None:
        if one.request_id == "broken":
            raise RuntimeError("the hook")
        seen.append(one.request_id)

    with Ledger(tmp_path / "ledger.db", batch_size=1) as book:
        follower = LedgerFollower(book, hook)
        book.append(named("a", 1.0))
        with sqlite3.connect(book.path) as other:
            row = dict(zip(COLUMNS, named("x", 2.0).as_row(), strict=True)) | {"tier": b"\xff", "input_tokens": 2**60}
            other.execute(
                f"INSERT INTO events ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", [*row.values()]
            )
        other.close()
        for name in ("b", "broken", "c"):
            book.append(named(name, 3.0))
        with pytest.raises(RuntimeError, match="the hook"):
            follower.poll()
        assert (follower.poll(), follower.poll()) == (1, 0)
        assert seen == ["a", "b", "c"]
        assert follower.skipped == 1
        assert "request 'x' in ledger.db: " in str(follower.last_error)


@pytest.mark.parametrize("name", ["half \ud800", "\x00", 'q"\\\n\r', "\u2028", 7, None], ids=repr)
def test_no_name_spoils_a_scrape(registry: CollectorRegistry, name: Any) -> None:
    metrics = RequestMetrics(registry, series=[("small", name)], scrape_interval_s=0)
    for number in range(2):
        odd = event(request_id=f"r-{number}")
        object.__setattr__(odd, "model", name)  # past the checks of the constructor
        metrics(odd)
    metrics(EVENT)
    for render in (generate_latest, generate_openmetrics):
        text = render(registry).decode()
        assert [
            line for line in text.split("\n") if line.startswith("costlab_requests_total") and line.endswith(" 2.0")
        ]
    families = text_string_to_metric_families(generate_latest(registry).decode())
    counts = {sample.labels["model"]: sample.value for family in families for sample in family.samples
              if sample.name == "costlab_requests_total" and sample.labels["outcome"] == "ok"}  # fmt: skip
    assert sorted(counts.values()) == [1, 2]
