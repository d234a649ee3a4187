"""The reconciler, driven through random histories by a model of the machine with a made-up clock."""

from __future__ import annotations

import inspect
import random
import textwrap
from collections import deque
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.supervisor.simulation import (
    BROKEN,
    DRAIN_DELAY_SECONDS,
    ERROR,
    GOOD,
    HANGS,
    LIMITS,
    OWN_IMPORT,
    OWN_SOCKET,
    SHARING,
    TWO,
    UNSHARED,
    Broken,
    Machine,
    Service,
    simulate,
)
from webdemo.errors import WebdemoError
from webdemo.supervisor import events, facts, reconciler
from webdemo.supervisor.actual import State
from webdemo.supervisor.reconciler import MOST_QUICK_DEATHS, Reconciler

T = TypeVar("T")


def machine(*slots: tuple[Service, tuple[str, ...]]) -> Machine:
    """A machine with these services, all up."""
    run = Machine(slots)
    run.advance(5)
    return run


def told(run: Machine, kind: type[T]) -> list[T]:
    return [event for event in run.told if isinstance(event, kind)]


# -- random histories -----------------------------------------------------------------------------


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=120))
def test_after_any_history_the_promises_hold(history: bytes) -> None:
    simulate(history)


@pytest.mark.deep
@settings(max_examples=10_000, deadline=None)
@given(st.binary(max_size=240))
def test_after_any_of_many_histories_the_promises_hold(history: bytes) -> None:
    simulate(history)


@pytest.mark.parametrize(
    "history",
    [
        pytest.param(bytes(numbers), id=name)
        for name, numbers in {
            "an answer is given twice when the run ends in the same moment": [36, 36, 2, 4, 11, 13],
            "a start waits for code that could not be loaded": [162, 184, 7, 255],
            "a restart is settled while the reload of a lost loader is under way":
                [103, 125, 110, 12, 207, 0, 35, 14, 37, 4],
            "a swap beside a reload, before anything is up": [210, 212, 13, 30, 3, 232, 157, 8],
            "a start beside a reload of a server that opens its own port":
                [143, 116, 3, 18, 197, 1, 41, 7, 16, 2, 132, 235],
            "a port is closed and opened again in the same moment":
                [232, 198, 5, 221, 4, 224, 20, 53, 12, 218, 5, 129, 19, 50, 9, 42, 7, 85],
            "a reload is settled while an old process waits for a queue":
                [171, 151, 11, 33, 6, 220, 18, 91, 17, 44, 7, 6, 9, 113],
            "what took over dies while the old process waits for a queue":
                [192, 5, 16, 228, 3, 248, 54, 10, 201, 0, 114, 20, 88, 12, 255, 9, 239, 10, 209],
            "a stop, a start, a restart of all and a reload at once":
                [202, 243, 21, 27, 9, 201, 5, 234, 1, 204, 210],
        }.items()
    ],
)  # fmt: skip
def test_a_history_that_once_broke_a_promise(history: bytes) -> None:
    simulate(history)


# -- what users meet ------------------------------------------------------------------------------


def test_a_reload_replaces_each_process_once_the_new_ones_are_up() -> None:
    run = machine((SHARING, ("8000",)), (TWO, ("8001",)))
    before = set(run.processes)
    wish = run.wish("reload")
    assert set(run.processes) == before, "the old ones serve while the app is loaded"
    run.advance(10)
    assert run.answers == {wish: None}
    assert len(run.processes) == 3
    assert before.isdisjoint(run.processes)


def services(run: Machine) -> dict[str, str]:
    return {port: str(p.spec.slot.service) for p in run.processes.values() for port in p.spec.slot.ports}


def test_a_reload_applies_the_services_of_the_settings_and_leaves_what_commands_changed() -> None:
    run = machine((SHARING, ("8000", "8001", "8002")))
    run.wish("swap", 16)  # 8001, to OWN_IMPORT
    run.wish("stop", 2)
    run.advance(10)
    configured = ((TWO, ("8000", "8002")), (SHARING, ("8001",)))
    run.reconciler.configure(configured, LIMITS)
    run.wish("reload")
    run.advance(10)
    assert services(run) == {"8000": str(TWO), "8001": str(OWN_IMPORT)}
    run.wish("start", 2)
    run.advance(10)
    assert services(run)["8002"] == str(TWO), "what is stopped stays so, and is started with the settings"
    run.check_calm()


def test_settings_whose_code_cannot_be_loaded_are_applied_by_the_next_reload() -> None:
    run = machine((SHARING, ("8000",)))
    run.code = BROKEN
    run.reconciler.configure(((TWO, ("8000",)),), LIMITS)
    run.wish("reload")
    run.advance(10)
    assert services(run) == {"8000": str(SHARING)}
    run.code = GOOD
    run.wish("reload")
    run.advance(10)
    assert services(run) == {"8000": str(TWO)}


@pytest.mark.parametrize("first", ["settings", "swap"])
def test_of_a_swap_and_of_settings_for_one_port_the_later_one_wins(first: str) -> None:
    run = machine((SHARING, ("8000",)))
    later = {"settings": "swap", "swap": "settings"}[first]
    run.wish(first, 7)  # to TWO
    wish = run.wish(later, 2 * 7)  # to OWN_IMPORT
    run.advance(20)
    assert services(run) == {"8000": str(OWN_IMPORT)}
    assert run.answers[wish] is None
    run.check_calm()


def test_a_reload_changes_the_limits_at_once() -> None:
    run = machine((SHARING, ("8000",)))
    run.limits = LIMITS._replace(drain_delay_seconds=0.0, grace_seconds=1.0)
    run.reconciler.configure(((SHARING, ("8000",)),), run.limits)
    run.reconciler.stop_all("asked to", run.now)
    run.act()
    run.advance(run.limits.queue_seconds)
    assert not run.open_ports


def test_a_reload_that_cannot_be_loaded_changes_nothing() -> None:
    run = machine((SHARING, ("8000",)))
    before = set(run.processes)
    run.code = BROKEN
    wish = run.wish("reload")
    run.advance(10)
    assert run.answers == {wish: ERROR}
    assert set(run.processes) == before
    assert told(run, events.LoadFailed) == [events.LoadFailed(ERROR, old_code_serves=True)]


def test_of_a_reload_either_all_services_take_over_or_none() -> None:
    run = machine((SHARING, ("8000",)), (OWN_IMPORT, ("8001",)))
    before = set(run.processes)
    run.broken_server = str(OWN_IMPORT)
    wish = run.wish("reload")
    run.advance(10)
    assert isinstance(run.answers[wish], WebdemoError)
    assert set(run.processes) == before


def test_reloads_in_quick_succession_end_in_one_release_and_are_all_answered() -> None:
    run = machine((SHARING, ("8000",)), (OWN_IMPORT, ("8001",)))
    wishes = []
    for _ in range(10):
        wishes.append(run.wish("reload"))
        run.advance(0.1)
    run.advance(20)
    assert run.answers == dict.fromkeys(wishes)
    assert len(run.processes) == 2
    assert len(run.loaders) == 2


def test_a_fixed_file_is_loaded_though_the_import_before_it_hangs() -> None:
    run = machine((SHARING, ("8000",)))
    run.code = HANGS
    first = run.wish("reload")
    run.advance(1)
    run.code = GOOD
    second = run.wish("reload")
    run.advance(3)
    assert run.answers == {first: None, second: None}


def test_a_first_import_that_hangs_is_replaced_as_well() -> None:
    run = Machine(((SHARING, ("8000",)),), code=HANGS)
    run.advance(1)
    run.code = GOOD
    wish = run.wish("reload")
    run.advance(3)
    assert run.answers == {wish: None}
    assert len(run.processes) == 1


@pytest.mark.parametrize("what", ["restart", "stop", "swap"])
def test_a_command_is_obeyed_at_once_while_an_import_hangs(what: str) -> None:
    run = machine((SHARING, ("8000",)), (TWO, ("8001",)))
    run.code = HANGS
    run.wish("reload")
    run.advance(1)
    wish = run.wish(what)
    run.advance(1.5)
    assert run.answers == {wish: None}


def test_a_later_command_for_a_port_replaces_an_earlier_one() -> None:
    run = machine((SHARING, ("8000",)))
    run.code = HANGS
    swap = run.wish("swap", 2 * 7)  # to a server that imports its own copy, which hangs
    run.advance(1)
    restart = run.wish("restart")
    error = run.answers[swap]
    assert error is not None
    assert error.problem == "Swap 8000 to gevent: it was replaced by a later command, restart 8000."
    run.advance(2)
    assert run.answers[restart] is None


def test_a_stop_whose_port_is_opened_again_before_its_process_has_ended_is_answered_at_once() -> None:
    run = machine((SHARING, ("8000",)))
    run.freeze_process(0)
    stop = run.wish("stop")
    run.advance(0.5)
    start = run.wish("start")
    error = run.answers[stop]
    assert error is not None
    assert error.problem == "Stop 8000: it was replaced by a later command, start 8000."
    run.advance(5)
    assert run.answers[start] is None
    run.check_calm()


def test_a_stop_is_answered_though_everything_is_restarted_before_its_process_has_ended() -> None:
    run = machine((SHARING, ("8000",)), (SHARING, ("8001",)))
    run.freeze_process(0)
    stop = run.wish("stop")
    run.advance(0.5)
    assert stop not in run.answers
    restart = run.wish("restart all")
    run.advance(30)
    assert (run.answers[stop], run.answers[restart]) == (None, None)
    run.check_calm()


def test_an_import_that_never_ends_is_given_up_after_the_limit() -> None:
    run = machine((SHARING, ("8000",)))
    run.code = HANGS
    wish = run.wish("reload")
    run.advance(LIMITS.start_seconds + 0.1)
    error = run.answers[wish]
    assert error is not None
    assert "did not load it within 10 s" in error.problem
    assert len(run.loaders) == 1


def test_a_process_that_came_up_is_started_again_however_often_it_dies() -> None:
    run = machine((SHARING, ("8000",)))
    pauses = []
    for _ in range(20):
        run.crash_all()
        run.act()
        [*_, died] = told(run, events.Died)
        pauses.append(died.again_in_seconds)
        run.advance(4)
    assert len(run.processes) == 1
    assert not told(run, events.GivenUp)
    assert pauses[:6] == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6]
    assert max(pauses) <= 3.0


def test_what_never_comes_up_is_given_up_and_revived_by_a_reload() -> None:
    run = Machine(((SHARING, ("8000",)), (TWO, ("8001",))))
    run.broken_server = str(TWO)
    run.advance(20)
    [given_up] = told(run, events.GivenUp)
    assert given_up.deaths == MOST_QUICK_DEATHS
    assert run.open_ports == {"8000"}
    run.broken_server = ""
    run.wish("reload")
    run.advance(10)
    assert run.open_ports == {"8000", "8001"}
    assert len(run.processes) == 3


def test_a_first_load_that_fails_ends_the_run_or_waits_for_the_next_change() -> None:
    for waits, exit_code in ((False, 1), (True, None)):
        run = Machine(((SHARING, ("8000",)),), limits=LIMITS._replace(waits_for_fix=waits), code=BROKEN)
        run.advance(30)
        assert run.exit_code == exit_code
        if waits:
            run.code = GOOD
            run.wish("reload")
            run.advance(5)
            assert len(run.processes) == 1


def test_a_start_that_fails_leaves_the_port_closed() -> None:
    run = machine((OWN_IMPORT, ("8000",)), (SHARING, ("8001",)))
    run.wish("stop")
    run.advance(5)
    assert run.open_ports == {"8001"}
    run.code = BROKEN
    wish = run.wish("start")
    run.advance(5)
    assert run.answers[wish] is ERROR
    assert run.open_ports == {"8001"}


def test_a_lost_loader_is_replaced_with_all_that_it_served() -> None:
    run = machine((SHARING, ("8000",)), (TWO, ("8001",)))
    before = set(run.processes)
    run.kill_loader(0)
    run.advance(10)
    assert len(run.processes) == 3
    assert before.isdisjoint(run.processes)
    assert len(run.loaders) == 1


def test_an_app_that_must_not_be_shared_is_imported_by_each_process() -> None:
    run = Machine(((SHARING, ("8000",)), (TWO, ("8001",))), code=UNSHARED)
    run.advance(10)
    assert [loader.share for loader in run.loaders.values()] == [False]
    assert len(run.processes) == 3


def test_a_hung_process_is_replaced_beside_itself_first() -> None:
    run = machine((SHARING, ("8000",)))
    [hung] = run.processes
    run.processes[hung].is_frozen = True
    run.declare_hung(0)
    run.act()
    assert run.reconciler.processes[hung].state is State.UP
    run.advance(1)
    assert run.reconciler.processes[hung].state is State.DRAINING
    run.advance(LIMITS.grace_seconds + 1)
    assert hung not in run.processes
    assert len(run.processes) == 1


def test_a_server_that_opens_its_port_itself_is_started_when_the_old_one_is_gone() -> None:
    run = machine((OWN_SOCKET, ("8000",)))
    [before] = run.processes
    wish = run.wish("restart")
    assert set(run.processes) == {before}
    run.advance(5)
    assert before not in run.processes
    assert len(run.processes) == 1
    assert run.answers == {wish: None}


def test_a_frozen_loader_does_not_hold_up_the_end() -> None:
    run = machine((SHARING, ("8000",)))
    run.freeze_loader(0)
    run.end(at_once=False)


def test_what_is_due_while_actions_are_carried_out_is_looked_at_again() -> None:
    run = machine((SHARING, ("8000",)))
    run.freeze_process(0)
    run.reconciler.stop_all("SIGTERM", run.now)
    run.act()
    due = run.reconciler.next_look
    assert due is not None
    run.reconciler.next_actions(due - 0.001)
    assert run.reconciler.next_look == due, "whatever the time is by then"


def test_requests_that_outlast_the_grace_time_are_cut_off() -> None:
    run = machine((SHARING, ("8000",)))
    run.freeze_process(0)
    run.end(at_once=False)
    assert len(told(run, events.CutOff)) == 1
    assert run.exit_code == 1


# -- what the histories are worth -----------------------------------------------------------------


FAULTS = {
    "give nothing the time to start": (
        "_expire", "self._is_due(process.since + limits.start_seconds)", "self._now > 0",
    ),
    "do not drain old processes": (
        "_compare_processes", "self._actions.append(facts.Drain(process.number))", "pass",
    ),
    "never kill what does not drain": (
        "_expire", "self._is_due(process.since + limits.grace_seconds)", "False",
    ),
    "keep loaders that are not needed": ("_compare_loaders", "loader.number not in used", "False"),
    "start one process too many": ("_spawn_missing", "range(missing", "range(missing + 1"),
    "do not answer a wish whose change failed": ("_drop", "self._answer(change.wishes, error)", "pass"),
    "answer before clients meet the result": ("_answer_settled", "self._is_seen(settled)", "True"),
    "forget a reload that came during another": ("_reload_again", "change.again is not None", "False"),
    "give up what had come up": ("_crashed", "not history.ever_up and end.has_begun", "end.has_begun"),
    "load the code again under the same release": (
        "_new_reload", "Reload(number,", "Reload(self.settled.release,",
    ),
    "keep the port of a stopped service open": (
        "_compare_ports", "facts.ClosePort(name)", "facts.OpenPort(name)",
    ),
    "stop the old processes first": ("_wanted", "dict.fromkeys(self._settled_specs())", "{}"),
    "answer twice": ("_answer", "for wish in wishes", "for wish in [*wishes, *wishes]"),
}  # fmt: skip
"""What is wrong: the method, and the text in it that is replaced."""


@pytest.mark.parametrize("fault", FAULTS)
def test_random_histories_find_each_deliberate_fault(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, old, new = FAULTS[fault]
    source = textwrap.dedent(inspect.getsource(getattr(Reconciler, name)))
    assert source.count(old) == 1
    faulty: dict[str, Any] = {}
    exec(source.replace(old, new), vars(reconciler), faulty)
    monkeypatch.setattr(Reconciler, name, faulty[name])
    chance = random.Random(1)
    histories = (chance.randbytes(chance.randrange(4, 80)) for _ in range(3000))
    with pytest.raises((Broken, KeyError)):
        deque(map(simulate, histories), maxlen=0)


# -- the drain delay ------------------------------------------------------------------------------


def test_until_the_drain_delay_is_over_all_is_served_as_before_and_what_dies_is_replaced() -> None:
    run = machine((SHARING, ("8000",)), (OWN_IMPORT, ("8001",)))
    run.reconciler.stop_all("asked to", run.now)
    run.act()
    assert told(run, facts.FailReadiness)
    assert run.open_ports == {"8000", "8001"}
    run.kill_process(0)
    run.advance(DRAIN_DELAY_SECONDS - 0.1)
    assert run.open_ports == {"8000", "8001"}
    assert [process.is_up for process in run.processes.values()] == [True, True]
    run.advance(0.1 + run.limits.queue_seconds)
    assert not run.open_ports
    run.advance(10)
    assert run.exit_code == 0


def test_a_second_signal_does_not_wait_for_the_drain_delay() -> None:
    run = machine((SHARING, ("8000",)))
    run.reconciler.stop_all("asked to", run.now)
    run.act()
    run.reconciler.stop_now(run.now)
    run.act()
    run.advance(0.1)
    assert run.exit_code == 1


def test_where_nothing_is_up_a_stop_waits_for_no_drain_delay() -> None:
    run = Machine(((SHARING, ("8000",)),))
    run.reconciler.stop_all("asked to", run.now)
    run.act()
    run.advance(0.1)
    assert run.exit_code == 0


def test_a_process_that_starts_is_drained_and_not_killed_because_it_may_have_accepted_clients() -> None:
    run = machine((SHARING, ("8000",)))
    run.wish("restart")
    [starting] = [p for p in run.reconciler.processes.values() if p.state is State.STARTING]
    run.wish("stop")
    run.advance(0.001)
    assert starting.state is State.DRAINING
