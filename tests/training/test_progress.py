"""A long training says every minute how far it is."""

import logging

import pytest

from lorabench.training.progress import Progress


def test_a_line_a_minute_says_loss_speed_and_time_left(caplog: pytest.LogCaptureFixture) -> None:
    """The first step, one a minute, and the last; the clock is made up."""
    now = 0.0
    caplog.set_level(logging.INFO)
    with Progress(1000, shown=True, clock=lambda: now) as progress:
        for step in range(1, 11):
            now += 25.0
            progress.step_done(step, 10, loss=2.0, tokens=100, rate=4.0)
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(":")[0] for line in lines] == [
        "step 1 of 10",
        "step 4 of 10",
        "step 7 of 10",
        "step 10 of 10",
    ]
    assert lines[1] == "step 4 of 10: loss 2.0000, 4 tokens/s, about 0:02:30 left"


def test_other_processes_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """One line for all processes."""
    caplog.set_level(logging.INFO)
    with Progress(100, shown=False) as progress:
        progress.step_done(1, 1, loss=2.0, tokens=100, rate=4.0)
    assert caplog.records == []
