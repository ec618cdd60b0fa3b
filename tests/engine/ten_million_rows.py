"""Run as a program: the core alone over ten million rows from memory; says how large the process was when.

Prints JSON: resident megabytes by millions of rows, and microseconds of processor time a row.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path

from busy_desk import MINUTE, BusyDesk, Stream
from engine_cases import START, S

RATE = 5_000
MILLION = 1_000_000


def resident_mb() -> float:
    """Resident size of this process, in 10^6 bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def run(millions: int) -> dict[str, object]:
    """Both folds over so many rows: everything that a second brings, and what a commit asks of them."""
    desk = BusyDesk(windows_ns=(MINUTE, 5 * MINUTE), exec_horizon_ns=5 * MINUTE)
    stream, fold, deployment = Stream(RATE), desk.fold1(), desk.fold2()
    # Detectors of changes load it when they first have enough panes: once, and no growth.
    importlib.import_module("river.drift")
    sizes: dict[str, float] = {}
    spent = 0.0
    for number in range(millions * MILLION // RATE):
        tables, answers = stream.second(number)
        begun = time.process_time()
        end = START + (number + 1) * S
        said = fold.fold(tables, answers, end, idle=False)
        fold.records()
        for at in range(end - S + desk.tick, end + 1, desk.tick):
            deployment.evaluate(at, {0: [partial for partial in said if at - desk.tick < partial.at <= at]})
        deployment.records()
        deployment.decisions = []
        spent += time.process_time() - begun
        if (number + 1) * RATE % MILLION == 0:
            list(deployment.values())
            sizes[str((number + 1) * RATE // MILLION)] = round(resident_mb(), 1)
    return {"resident_mb": sizes, "us_a_row": round(spent / millions, 2)}


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]))))
