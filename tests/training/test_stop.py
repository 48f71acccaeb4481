"""Stopping: signals, the time limit, and leaving the process as it was."""

import os
import signal
import threading

import pytest

from fer_lib.training import Stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_noticed_and_named(number):
    before = signal.signal(number, signal.SIG_DFL)  # the tests themselves may run under nohup
    try:
        with Stop() as stop:
            assert stop.reason is None
            os.kill(os.getpid(), number)
            assert stop.reason == number.name
    finally:
        signal.signal(number, before)


def test_handlers_are_restored_even_after_an_error():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(RuntimeError), Stop():  # noqa: PT012
        assert signal.getsignal(signal.SIGINT) != before[0]
        os.kill(os.getpid(), signal.SIGTERM)
        raise RuntimeError
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_under_nohup_a_closed_terminal_stops_nothing():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stop() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.reason is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.fixture
def ctrl_c_heard():
    """Python's own handler, also where a shell started the tests in the background, deaf to Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_heard")
def test_a_second_ctrl_c_acts_at_once():
    with pytest.raises(KeyboardInterrupt), Stop():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


def test_the_time_limit():
    assert Stop(0).reason == "the time limit"
    assert Stop(3600).reason is None
    assert Stop().reason is None


def test_outside_the_main_thread_only_the_time_limit_works():
    reasons = []

    def work():
        with Stop(0) as stop:
            reasons.append(stop.reason)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert reasons == ["the time limit"]
