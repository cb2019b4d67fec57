"""Progress of long work on standard error."""

import sys
import time
from collections import deque
from collections.abc import Callable


class Progress:
    """Tells how much is done, at what rate of late, and the time left.

    In a terminal and in a notebook one line is written over, at most twice a second. Elsewhere, as in the
    log of a job, a new line comes every half minute.

    Parameters
    ----------
    total : int
        Number of items.
    unit : str
        What the items are called: ``"photographs"``.
    verbose : bool, default=True
        Whether to print.
    callback : callable, default=None
        Called, at most twice a second and at the end, with the number of items that are done, the number of
        all, how many are done a second, and the seconds left.
    """

    def __init__(
        self,
        total: int,
        unit: str,
        *,
        verbose: bool | int = True,
        callback: Callable[[int, int, float, float], object] | None = None,
    ) -> None:
        self.total = total
        self.unit = unit
        self.verbose = verbose
        self.callback = callback
        self.points = deque([(time.monotonic(), 0)], maxlen=60)
        self.told = self.shown = float("-inf")

    def show(self, done: int) -> None:
        """Tell the state if some time has gone by since the last time, or if all is done."""
        now = time.monotonic()
        if done < self.total and now - self.told < 0.5:
            return
        self.told = now
        since, done_then = self.points[0]
        rate = (done - done_then) / max(now - since, 1e-9)
        left = (self.total - done) / max(rate, 1e-9)
        self.points.append((now, done))
        if self.callback:
            self.callback(done, self.total, rate, left)
        if self.verbose:
            self._print(done, rate, left, now)

    def _print(self, done: int, rate: float, left: float, now: float) -> None:
        line = f"{done}/{self.total} {self.unit}, {rate:.1f} a second, {_as_time(left)} left"
        if sys.stderr.isatty() or "ipykernel" in sys.modules:
            print(f"\r{line:<70}", end="\n" if done == self.total else "", file=sys.stderr, flush=True)
        elif done == self.total or now - self.shown >= 30:
            print(line, file=sys.stderr, flush=True)
            self.shown = now


def _as_time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
