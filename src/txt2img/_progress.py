"""Progress of long work on standard error."""

import sys
import time


class Progress:
    """Prints how much is done, at what rate, and the time left; at most twice a second.

    Parameters
    ----------
    total : int
        Number of items.
    unit : str
        What the items are called: ``"photographs"``.
    """

    def __init__(self, total, unit):
        self.total = total
        self.unit = unit
        self.start = time.monotonic()
        self.shown = float("-inf")

    def show(self, done):
        """Print the state if half a second has gone by since the last time, or if all is done."""
        now = time.monotonic()
        if done < self.total and now - self.shown < 0.5:
            return
        self.shown = now
        rate = done / max(now - self.start, 1e-9)
        left = (self.total - done) / max(rate, 1e-9)
        line = f"{done}/{self.total} {self.unit}, {rate:.1f} a second, {left:.0f} s left"
        print(f"\r{line:<70}", end="\n" if done == self.total else "", file=sys.stderr, flush=True)
