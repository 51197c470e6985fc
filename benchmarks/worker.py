"""Systems under measurement as processes that do one piece of work for each line they are sent.

All systems of a comparison live at once and take turns, so that a slow minute of the machine hits all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
from statistics import median
from typing import Any


class Worker:
    """A process that prints a line of JSON when it is ready, and one for each line it is sent."""

    def __init__(self, name: str, command: list[str], threads: int) -> None:
        self.name = name
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._answer()

    def work(self, order: str = "go") -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> dict[str, Any]:
        """The next line of JSON; what libraries print in between is passed over."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"{self.name} ended with exit status {self.process.wait()}")


def take_turns(workers: list[Worker], repeats: int, order: str = "go") -> dict[str, list[dict[str, Any]]]:
    """One discarded round, then `repeats` rounds in alternating order."""
    results: dict[str, list[dict[str, Any]]] = {worker.name: [] for worker in workers}
    for turn in range(repeats + 1):
        for worker in workers if turn % 2 else reversed(workers):
            answer = worker.work(order)
            print(f"{'warm-up' if turn == 0 else turn}  {worker.name:24} {answer['seconds']:8.2f} s", flush=True)
            if turn:
                results[worker.name].append(answer)
    return results


def middle(results: list[dict[str, Any]], key: str) -> float:
    return median(result[key] for result in results)
