"""The contents of the cards, from replies of the control socket: no process is started."""

from __future__ import annotations

from typing import Any

import pytest

from webdemo.dashboard import chart
from webdemo.dashboard.overview import Overview, read_overview
from webdemo.dashboard.route_map import ROW, draw
from webdemo.dashboard.wording import format_count, format_milliseconds, format_percent
from webdemo.stats.figures import Sample, Series, ServiceHistory
from webdemo.supervisor.control_messages import ProcessStatus, RunHistory, RunStatus, ServiceStatus

NOW = 1_790_000_000.0
FIGURES = Sample(
    time=NOW,
    requests_per_second=812.0,
    errors_per_second=0.0,
    bytes_per_second=1240000.0,
    p50_ms=1.31,
    p99_ms=8.02,
    in_flight=3,
    oldest_request_seconds=0.4,
    memory_bytes=24117248,
    cpu_percent=41.2,
    processes=3,
    requests=48211,
    errors=2,
    bytes=73921004,
)


def service(server: str, *ports: str, **more: Any) -> ServiceStatus:
    return ServiceStatus(
        server=server,
        version="1.0",
        state="up",
        dashboard=False,
        ports=ports,
        urls=tuple(f"unix:{port}" if "/" in port else f"http://127.0.0.1:{port}/" for port in ports),
        workers=1,
        restarts=0,
        processes=(ProcessStatus(11, "up", NOW - 60),),
        figures=FIGURES,
    )._replace(**more)


def look(*services: ServiceStatus, seconds: int = 3) -> Overview:
    series = Series._make((getattr(FIGURES, name),) * seconds for name in Series._fields)
    series = series._replace(time=tuple(NOW - seconds + 1 + second for second in range(seconds)))
    return read_overview(
        RunStatus(1, "mysite:app", NOW - 100, False, services),
        RunHistory(NOW, 1.0, tuple(ServiceHistory(s.server, s.ports, series) for s in services)),
    )


def test_a_card_tells_what_the_supervisor_told() -> None:
    [card] = look(service("waitress", "8000", "8001")).cards
    assert (card.key, card.server, card.state) == ("8000 8001", "waitress", "up")
    assert [port.link for port in card.ports] == ["http://127.0.0.1:8000/", "http://127.0.0.1:8001/"]
    assert card.figures is not None
    assert card.figures.requests == 48211
    assert card.since == NOW - 60
    assert card.series.rate.startswith("M")


def test_the_dashboards_own_server_is_no_card() -> None:
    overview = look(service("waitress", "8000"), service("waitress", "9000", dashboard=True))
    assert [card.key for card in overview.cards] == ["8000"]
    assert overview.card_of("9000") is None


@pytest.mark.parametrize(
    ("state", "actions"),
    [
        ("up", ("restart", "swap", "stop", "kill")),
        ("starting", ()),
        ("waiting", ("swap", "stop")),
        ("stopped", ("start",)),
        ("given up", ("start",)),
    ],
)
def test_a_card_offers_what_can_be_done_in_its_state(state: str, actions: tuple[str, ...]) -> None:
    [card] = look(service("waitress", "8000", state=state)).cards
    assert card.actions == actions


def test_a_server_can_be_swapped_for_what_can_serve_the_same() -> None:
    [plain] = look(service("werkzeug", "8000")).cards
    assert {"waitress", "gunicorn"} <= set(plain.swaps)
    assert not {"werkzeug", "smtp", "ftp", "granian"} & set(plain.swaps)
    [tls] = look(service("gunicorn", "8443", urls=("https://127.0.0.1:8443/",))).cards
    assert "waitress" not in tls.swaps
    assert "cheroot" in tls.swaps
    [mail] = look(service("smtp", "2525", urls=("smtp://127.0.0.1:2525",))).cards
    assert mail.swaps == ()


def test_a_first_second_without_figures_is_shown_without() -> None:
    [card] = look(service("waitress", "8000", figures=None), seconds=0).cards
    assert card.figures is None
    assert card.series.rate == ""
    assert card.series.ground == ""


# -- the lines ------------------------------------------------------------------------------------


def test_a_line_ends_at_the_right_edge_now() -> None:
    path = chart.line([NOW - 1, NOW], [0.0, 10.0], NOW, lambda value: 64 - value)
    assert path == f"M358.0 64.0L{chart.WIDTH:.1f} 54.0"


def test_a_second_without_a_value_leaves_a_gap() -> None:
    path = chart.line([NOW - 2, NOW - 1, NOW], [1.0, None, 1.0], NOW, lambda value: 0)
    assert path.count("M") == 2
    assert "L" not in path


def test_what_is_older_than_the_window_is_not_drawn() -> None:
    times = [NOW - chart.WINDOW_SECONDS - 5, NOW]
    assert chart.line(times, [1.0, 1.0], NOW, lambda value: 0) == f"M{chart.WIDTH:.1f} 0.0"


def test_all_cards_share_one_scale() -> None:
    scales = chart.scales([3.0, 812.0, None], [1.0, None, 8.02])
    assert scales.requests_per_second == 1000
    assert scales.milliseconds == 10
    assert scales.rate_y(1000) == 0
    assert scales.rate_y(0) == chart.HEIGHT
    assert scales.latency_y(10) == 0
    assert scales.latency_y(0.01) == chart.HEIGHT
    assert scales.decades() == [chart.HEIGHT / 2]
    assert scales.span == "100 µs to 10 ms"


def test_scales_without_any_value_are_not_empty() -> None:
    scales = chart.scales([], [None])
    assert (scales.requests_per_second, scales.milliseconds) == (10, 10)


def test_slow_answers_widen_the_scale() -> None:
    assert chart.scales([], [2500.0]).span == "100 µs to 10 s"


# -- the map --------------------------------------------------------------------------------------


def test_ports_of_one_process_lead_to_one_server() -> None:
    drawn = draw(look(service("waitress", "8000", "8001"), service("gunicorn", "8002")))
    assert drawn.height == 3 * ROW
    assert [(port.label, port.server_y) for port in drawn.ports] == [
        (":8000", ROW),
        (":8001", ROW),
        (":8002", 2.5 * ROW),
    ]
    assert [place.card.server for place in drawn.servers] == ["waitress", "gunicorn"]


def test_a_stopped_port_is_drawn_as_closed() -> None:
    drawn = draw(look(service("waitress", "8000", state="stopped")))
    assert [port.is_open for port in drawn.ports] == [False]


def test_a_socket_file_is_called_by_its_name() -> None:
    [card] = look(service("gunicorn", "/run/site/web.sock")).cards
    assert card.ports[0].label == "web.sock"
    assert card.ports[0].link is None


# -- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.5, "0.5"),
        (9.0, "9"),
        (12.4, "12"),
        (8123, "8,123"),
        (123_456, "123 k"),
        (12_345_678, "12.3 M"),
    ],
)
def test_counts_are_short(value: float, text: str) -> None:
    assert format_count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.123, "123 µs"), (1.31, "1.3 ms"), (82.4, "82 ms"), (1234, "1.2 s"), (12_345, "12 s")],
)
def test_times_are_short(value: float | None, text: str) -> None:
    assert format_milliseconds(value) == text


def test_shares_are_short() -> None:
    assert [format_percent(v) for v in (0, 0.44, 41.2, 130)] == ["0 %", "0.4 %", "41 %", "130 %"]
