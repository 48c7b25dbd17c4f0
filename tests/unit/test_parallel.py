"""What processes and signals are told."""

from __future__ import annotations

import signal
import threading

import pytest

from fringewatch.parallel import ctrl_c_held


@pytest.fixture
def heard():
    """Count what comes through as Ctrl-C does, without ending the tests."""
    signals = []
    old = signal.signal(signal.SIGINT, lambda *_: signals.append("heard"))
    yield signals
    signal.signal(signal.SIGINT, old)


def test_ctrl_c_waits_for_the_end_of_the_block(heard):
    with ctrl_c_held():
        signal.raise_signal(signal.SIGINT)
        assert heard == []
    assert heard == ["heard"]
    signal.raise_signal(signal.SIGINT)
    assert heard == ["heard"] * 2


def test_a_second_ctrl_c_ends_the_block(heard):
    with ctrl_c_held():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert heard == ["heard"]
    assert heard == ["heard"] * 2


def test_an_error_of_the_block_goes_on_its_way(heard):
    def work():
        with ctrl_c_held():
            signal.raise_signal(signal.SIGINT)
            int("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        work()
    assert heard == []
    signal.raise_signal(signal.SIGINT)
    assert heard == ["heard"]


def test_other_threads_hold_nothing_back(heard):
    def work():
        with ctrl_c_held():
            pass

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    signal.raise_signal(signal.SIGINT)
    assert heard == ["heard"]
