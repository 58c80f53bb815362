"""Cells of a table that takes hours: each is a line in a file as soon as it is measured, and is measured once."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def options(doc: str | None, parent_minutes: float) -> argparse.ArgumentParser:
    """What every benchmark of teaching is told; it adds its own."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for parents and finished cells")
    parser.add_argument("--parent-minutes", type=float, default=parent_minutes)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    return parser


def busy(threads: int) -> Callable[[], float]:
    """Seconds in which this process computed on all its threads: a machine that others use gives as many steps."""
    return lambda: time.process_time() / threads


class Cells:
    """Finished cells in a file of JSON lines.

    Parameters
    ----------
    path
        Read if it is there; lines are added to it.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self.rows: list[Row] = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def row(self, names: Row, measure: Callable[[], Row]) -> Row:
        """The cell of these names, measured if it is not there yet."""
        for row in self.rows:
            if names.items() <= row.items():
                return row
        row = names | measure()
        self.rows.append(row)
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)
        return row
