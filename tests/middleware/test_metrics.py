"""/metrics, parsed by Prometheus's own Python client."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import Client
from werkzeug.wrappers import Response

from tests import raw_http
from tests import running as runs
from webdemo.middleware.metrics import metrics
from webdemo.middleware.proxy_headers import ForwardedHeaders
from webdemo.stats.counters import RequestCounter, SharedCounters, SystemNotes, Totals
from webdemo.stats.exposition import About, exposition
from webdemo.stats.usage import Usage

Samples = dict[str, list[tuple[dict[str, str], float]]]

TYPES = {
    "webdemo_info": "gauge",
    "webdemo_requests": "counter",
    "webdemo_requests_in_flight": "gauge",
    "webdemo_request_duration_seconds": "histogram",
    "webdemo_response_body_bytes": "counter",
    "webdemo_memory_bytes": "gauge",
    "webdemo_cpu_seconds": "counter",
    "webdemo_processes": "gauge",
    "webdemo_restarts": "counter",
}


def parsed(text: str) -> Samples:
    """Each sample's labels and value, by name."""
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        assert TYPES[family.name] == family.type
        assert family.documentation
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return samples


@pytest.fixture
def counters() -> Iterator[SharedCounters]:
    shared = SharedCounters.create()
    yield shared
    shared.close()


def test_every_figure_is_told_for_every_service_in_base_units(counters: SharedCounters) -> None:
    counter = RequestCounter(counters, "waitress 8000 8001")
    for status, ms in (("200 OK", 2), ("200 OK", 40), ("503 Busy", 300)):
        counter.end(counter.begin(), status, 1000, ms * 10**6)
    counter.begin()
    SystemNotes(counters, "waitress 8000 8001").write(Usage(4096, 3, 1.5, 0), restarts=2)
    SystemNotes(counters, "gunicorn 8002").write(Usage(), restarts=0)
    samples = parsed(exposition(counters.read(), About("0", "r1", "web1")))
    assert samples["webdemo_info"] == [({"version": "0", "release": "r1", "host": "web1"}, 1)]
    waitress = {"server": "waitress", "ports": "8000 8001"}
    gunicorn = {"server": "gunicorn", "ports": "8002"}
    assert samples["webdemo_requests_in_flight"] == [(waitress, 1), (gunicorn, 0)]
    assert samples["webdemo_response_body_bytes_total"] == [(waitress, 3000), (gunicorn, 0)]
    assert samples["webdemo_memory_bytes"] == [(waitress, 4096), (gunicorn, 0)]
    assert samples["webdemo_cpu_seconds_total"] == [(waitress, 1.5), (gunicorn, 0)]
    assert samples["webdemo_processes"] == [(waitress, 3), (gunicorn, 0)]
    assert samples["webdemo_restarts_total"] == [(waitress, 2), (gunicorn, 0)]
    assert {labels["status"]: n for labels, n in samples["webdemo_requests_total"][:6]} == {
        "none": 0, "1xx": 0, "2xx": 2, "3xx": 0, "4xx": 0, "5xx": 1,
    }  # fmt: skip
    assert samples["webdemo_request_duration_seconds_count"] == [(waitress, 3), (gunicorn, 0)]
    assert samples["webdemo_request_duration_seconds_sum"] == [(waitress, 0.342), (gunicorn, 0)]


@given(st.lists(st.integers(0, 10**12), max_size=50))
def test_buckets_are_cumulative_and_the_last_holds_all(durations: list[int]) -> None:
    shared = SharedCounters.create()
    try:
        counter = RequestCounter(shared, "s 1")
        SystemNotes(shared, "s 1")
        for duration in durations:
            counter.end(counter.begin(), "200", 0, duration)
        samples = parsed(exposition(shared.read(), About("0", "r1", "web1")))
    finally:
        shared.close()
    buckets = [
        (float(labels["le"]), value) for labels, value in samples["webdemo_request_duration_seconds_bucket"]
    ]
    assert buckets == sorted(buckets)
    assert [count for _, count in buckets] == sorted(count for _, count in buckets)
    assert buckets[-1][0] == float("inf")
    assert buckets[-1][1] == len(durations)
    for end, count in buckets[:-1]:
        at_the_end = sum(d / 1e9 == pytest.approx(end, rel=1e-5) for d in durations)  # of a printed number
        assert count == pytest.approx(sum(d / 1e9 < end for d in durations), abs=at_the_end)
    assert samples["webdemo_request_duration_seconds_count"][0][1] == len(durations)


def test_odd_names_are_escaped() -> None:
    name = 'plug"in /run/a"b\\c\nd.sock'
    samples = parsed(exposition({name: Totals()}, About("0", "r1", "web1")))
    assert samples["webdemo_processes"] == [({"server": 'plug"in', "ports": '/run/a"b\\c\nd.sock'}, 0)]


APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def scrape(url: str) -> Samples:
    answer = raw_http.get(url, "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return parsed(answer.text)


def wait_for_requests(url: str, expected: dict[str, float]) -> None:
    """Wait until so many requests have ended, by server: a moment after the client has the response."""
    deadline = time.monotonic() + 60
    totals: dict[str, float] = {}
    while totals != expected:
        assert time.monotonic() < deadline, totals
        totals = dict.fromkeys(expected, 0)
        for labels, value in scrape(url)["webdemo_requests_total"]:
            totals[labels["server"]] += value


def test_any_process_answers_for_all_and_counts_survive_a_kill(running: runs.Start) -> None:
    run = running(
        "--metrics", "-b", "waitress://127.0.0.1:0", "-b", "gunicorn://127.0.0.1:0?workers=2", app=APP
    )
    for url in run.urls:
        for _ in range(4):
            raw_http.get(url, "/")

    for url in run.urls:
        wait_for_requests(url, {"waitress": 4, "gunicorn": 4})
    [waitress] = [row for row in run.rows() if row.server == "waitress"]
    for process in run.servers():
        if process.pid in waitress.pids:
            process.kill()
    run.wait_for("is up again")
    raw_http.get(waitress.urls[0], "/")
    wait_for_requests(run.urls[1], {"waitress": 5, "gunicorn": 4})
    assert run.terminate() == 0
    assert "/metrics" not in run.log()


def test_metrics_are_off_unless_asked_for_and_have_no_body_for_head(running: runs.Start) -> None:
    run = running("-b", "wsgiref://127.0.0.1:0", app=APP)
    assert raw_http.get(run.url, "/metrics").text == "ok"
    run = running("-b", "wsgiref://127.0.0.1:0", "--metrics", app=APP)
    answer = raw_http.get(run.url, "/metrics", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.attack(
    "What remote clients see",
    "`/metrics` is requested from another network, by another name, or through a proxy that is not trusted",
    "403; this machine and the networks that `--metrics-networks` names are answered",
)
@pytest.mark.parametrize("server", ["werkzeug", "waitress", "gunicorn"])
def test_metrics_answer_this_machine_and_the_named_networks(running: runs.Start, server: str) -> None:
    prometheus, stranger, proxy = "127.0.0.7", "127.0.0.9", "127.0.0.8"
    run = running(
        *("-b", f"{server}://127.0.0.1:0", "--metrics", "--metrics-networks", f"{prometheus},192.0.2.0/24"),
        *("--trusted-proxies", proxy),
        app=APP,
    )

    def status(client: str, **fields: str) -> int:
        connection = http.client.HTTPConnection(
            urlsplit(run.url).netloc, timeout=30, source_address=(client, 0)
        )
        with contextlib.closing(connection):
            connection.request("GET", "/metrics", headers={"Host": "site.example", **fields})
            answer = connection.getresponse()
            body = answer.read()
            assert (b"webdemo_" in body) == (answer.status == 200)
            return answer.status

    assert status(stranger, Host="localhost") == 200
    assert status(stranger) == 403
    assert status(prometheus) == 200
    for sign in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"):
        assert status(prometheus, **{sign: "192.0.2.1"}) == 403
    assert status(proxy, **{"X-Forwarded-For": "192.0.2.1"}) == 200
    assert status(proxy, **{"X-Forwarded-For": "192.0.2.1, 203.0.113.9"}) == 403
    assert status(proxy, **{"X-Forwarded-For": "127.0.0.1"}) == 403
    assert status(proxy) == 403


@pytest.mark.attack(
    "What remote clients see",
    "a trusted proxy within `--metrics-networks` forwards `/metrics` and does not name its client "
    "(`for=unknown`, `for=_hidden`, another header than the configured one, `Via` alone)",
    "403; without any sign of a client behind it, the proxy's host itself is answered",
)
@pytest.mark.parametrize(
    ("headers", "rfc7239", "status"),
    [
        ({}, False, 200),
        ({}, True, 200),
        ({"X_FORWARDED_FOR": "10.0.0.9"}, False, 200),
        ({"X_FORWARDED_FOR": "10.0.0.9, 10.0.0.5"}, False, 200),
        ({"X_FORWARDED_FOR": "203.0.113.9"}, False, 403),
        ({"X_FORWARDED_FOR": "unknown"}, False, 403),
        ({"X_FORWARDED_FOR": "unknown, 10.0.0.5"}, False, 403),
        ({"X_FORWARDED_FOR": ""}, False, 403),
        ({"X_FORWARDED_PROTO": "https"}, False, 403),
        ({"FORWARDED": "for=10.0.0.9"}, False, 403),
        ({"X_REAL_IP": "203.0.113.9"}, False, 403),
        ({"VIA": "1.1 squid"}, False, 403),
        ({"FORWARDED": "for=10.0.0.9"}, True, 200),
        ({"FORWARDED": "for=_hidden"}, True, 403),
        ({"FORWARDED": "for=unknown"}, True, 403),
        ({"FORWARDED": "by=10.0.0.5"}, True, 403),
        ({"FORWARDED": "for=unknown, for=10.0.0.5"}, True, 403),
        ({"FORWARDED": "for=(, for=10.0.0.5"}, True, 403),
        ({"FORWARDED": 'for="10.0.0.9'}, True, 403),
        ({"X_FORWARDED_FOR": "10.0.0.9"}, True, 403),
    ],
)
def test_a_client_that_its_trusted_proxy_does_not_name_is_in_no_network(
    counters: SharedCounters, headers: dict[str, str], rfc7239: bool, status: int
) -> None:
    guarded = metrics(Response("app"), counters, ["10.0.0.0/8"], About("0", "r1", "web1"))
    client = Client(ForwardedHeaders(guarded, ["10.0.0.5"], rfc7239=rfc7239))
    environ = {"REMOTE_ADDR": "10.0.0.5", **{f"HTTP_{name}": text for name, text in headers.items()}}
    assert client.get("/metrics", environ_base=environ).status_code == status


def test_the_app_stays_reachable_beside_metrics(running: runs.Start) -> None:
    run = running("-b", "waitress://127.0.0.1:0", "--metrics", "--health", app=APP)
    answers: list[Any] = [raw_http.get(run.url, target).text for target in ("/", "/metrics/", "/livez")]
    assert answers == ["ok", "ok", "ok\n"]
