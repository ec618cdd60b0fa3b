"""Daily prices of 20 US stocks, 1990 to 2022: adjusted for splits and dividends, 8,313 days, none missing.

They lie among the files of a package (BSD-3-Clause) that is installed without what it depends on
(requirements-data.lock); it is never imported.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
from numpy.typing import NDArray

PACKAGE, FILE = "skfolio", "skfolio/datasets/data/sp500_dataset.csv.gz"


@dataclass(frozen=True)
class Daily:
    """`days` datetime64[D] (n,), rising; `price` float64 (n, stocks), of at most three decimals."""

    symbols: tuple[str, ...]
    days: NDArray[np.datetime64]
    price: NDArray[np.float64]

    @property
    def returns(self) -> NDArray[np.float64]:
        """Simple returns, (n - 1, stocks)."""
        changes: NDArray[np.float64] = self.price[1:] / self.price[:-1] - 1.0
        return changes

    def between(self, first: str, last: str) -> Daily:
        """The days from `first` to `last`, both included."""
        inside = (self.days >= np.datetime64(first)) & (self.days <= np.datetime64(last))
        return Daily(self.symbols, self.days[inside], self.price[inside])


@cache
def daily_prices() -> Daily:
    """All of them. Where the package is missing the tests fail: a suite that skips them proves nothing."""
    try:
        path = distribution(PACKAGE).locate_file(FILE)
    except PackageNotFoundError as error:
        raise RuntimeError("the real daily prices are not installed: `make install`") from error
    with gzip.open(str(path), "rt", newline="") as file:
        (_, *symbols), *rows = csv.reader(file)
    days = np.array([row[0] for row in rows], "datetime64[D]")
    return Daily(tuple(symbols), days, np.array([row[1:] for row in rows], np.float64))
