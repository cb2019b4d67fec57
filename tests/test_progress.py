import sys

import pytest

from txt2img._progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """Return the time that the module sees, in a list of one."""
    now = [1000.0]
    monkeypatch.setattr("txt2img._progress.time.monotonic", lambda: now[0])
    return now


def go_on(clock, progress, seconds, done):
    clock[0] += seconds
    progress.show(done)


def test_in_a_log_lines_are_whole_and_few(clock, capsys):
    progress = Progress(1000, "photographs")
    for done in range(10, 1001, 10):
        go_on(clock, progress, 1, done)
    written = capsys.readouterr().err
    assert "\r" not in written
    lines = written.splitlines()
    assert lines[0] == "10/1000 photographs, 10.0 a second, 2 min left"
    assert lines[-1] == "1000/1000 photographs, 10.0 a second, 0 s left"
    assert len(lines) == 5


@pytest.mark.parametrize("place", ["terminal", "notebook"])
def test_in_a_terminal_and_a_notebook_one_line_is_written_over(clock, capsys, monkeypatch, place):
    if place == "terminal":
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    else:
        monkeypatch.setitem(sys.modules, "ipykernel", sys)
    progress = Progress(100, "photographs")
    for done in range(1, 101):
        go_on(clock, progress, 0.1, done)
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    assert 10 <= written.count("\r") <= 21


def test_time_left_is_told_by_the_rate_of_late(clock):
    states = []
    progress = Progress(100_000, "photographs", verbose=False, callback=lambda *state: states.append(state))
    go_on(clock, progress, 1, 90_000)  # recalled
    for i in range(1, 101):
        go_on(clock, progress, 1, 90_000 + 10 * i)
    done, total, rate, left = states[-1]
    assert (done, total) == (91_000, 100_000)
    assert rate == pytest.approx(10)
    assert left == pytest.approx(900)


def test_long_times_are_told_in_hours(clock, capsys):
    go_on(clock, Progress(7_300, "photographs"), 2, 2)
    assert "2 h 02 min left" in capsys.readouterr().err


def test_what_the_callback_raises_ends_the_work(clock):
    def stop(*state):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Progress(3, "photographs", verbose=False, callback=stop).show(3)
