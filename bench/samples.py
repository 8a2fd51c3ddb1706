# SPDX-License-Identifier: MIT
"""What was measured, and how it is summed up.

A sample belongs to a round, a series (who: "fio", "spin"), a point (under which load) and a metric
("rate"). Comparisons are made within a round, where both sides had the same machine; then come the
median and the quartiles of those.
"""

import math
from statistics import median, quantiles

UNITS = {
    "rate": "requests per second",
    "bytes_rate": "bytes per second",
    "operations": "operations per second",
}


class Summary:
    """Median and quartiles of some values."""

    def __init__(self, values):
        self.values = [value for value in values if value is not None]
        self.count = len(self.values)
        if self.count > 1:
            self.low, self.median, self.high = quantiles(self.values, method="inclusive")
        elif self.count:
            self.low = self.median = self.high = self.values[0]
        else:
            self.low = self.median = self.high = None


class Samples:
    """Values by series, point and metric, one for each round; None where a round was dropped."""

    def __init__(self, rounds):
        self._rounds = rounds
        self._values = {}

    def add(self, number, series, point, metrics):
        """Keeps what a slice of that round measured: numbers by metric, or None."""
        for metric, value in (metrics or {}).items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            key = (series, point, metric)
            self._values.setdefault(key, [None] * self._rounds)[number] = value

    def values(self, series, point, metric="rate"):
        """One value for each round, None where there is none."""
        return self._values.get((series, point, metric), [None] * self._rounds)

    def summary(self, series, point, metric="rate"):
        """Median and quartiles over the rounds."""
        return Summary(self.values(series, point, metric))

    def ratio(self, ours, theirs, metric="rate"):
        """Ratios within each round; ours and theirs are (series, point)."""
        return divide(self.values(*ours, metric), self.values(*theirs, metric))

    def as_json(self):
        """For the result file."""
        return [
            {"series": series, "point": point, "metric": metric,
             "unit": UNITS.get(metric, "ns" if metric.endswith("_ns") else ""), "values": values}
            for (series, point, metric), values in self._values.items()
        ]


def divide(dividends, divisors):
    """Round by round; None where either is missing."""
    return [a / b if a is not None and b else None for a, b in zip(dividends, divisors)]


def add(*lists):
    """Round by round; None where one is missing."""
    return [None if None in values else sum(values) for values in zip(*lists)]


def geometric_mean(values):
    """Of positive numbers; None if there are none."""
    present = [value for value in values if value is not None]
    if not present:
        return None
    return math.exp(sum(map(math.log, present)) / len(present))


def jain_index(rates):
    """Fairness of shares, from 1/n to 1 (Jain, Chiu and Hawe, 1984)."""
    return sum(rates) ** 2 / (len(rates) * sum(rate * rate for rate in rates))


def middle(values):
    """Median of what is there; None if nothing is."""
    present = [value for value in values if value is not None]
    return median(present) if present else None
