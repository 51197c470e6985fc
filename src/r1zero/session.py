"""What every training program shares: the run folder, metrics, checkpoints, resume, progress and a clean stop."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from r1zero.checkpoint import rng, store
from r1zero.checkpoint.folder import RunFolder
from r1zero.config import PretrainRecipe, Recipe, TuningRecipe
from r1zero.device import Device
from r1zero.errors import Interrupted
from r1zero.interrupt import Stop
from r1zero.log import duration, log, to_file
from r1zero.metrics import MetricsSink

_QUIET_SECONDS = 2.0  # steps faster than this share a line


class Learner(Protocol):
    """What a checkpoint has to hold of a program beside what the session knows itself."""

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...

    def discard_gradients(self) -> None:
        """Forget an update that was begun."""
        ...


class Session:
    """One training run from its first or resumed step to its last. Use with `with`.

    `steps` yields the numbers of the steps to do (from 1) and saves when due; a Ctrl-C inside a step goes back to the
    step's beginning, where no weight had changed, and saves that.
    """

    def __init__(
        self,
        recipe: Recipe | TuningRecipe | PretrainRecipe,
        folder: RunFolder,
        device: Device,
        learner: Learner,
        stop: Stop,
    ) -> None:
        self.run, self.folder, self.device, self.learner, self.stop = recipe.run, folder, device, learner, stop
        self.done = 0  # finished steps
        self.position = 0  # data consumed by finished steps
        self._saved = -1
        self._seconds: dict[str, float] = {}
        self._peaks: dict[str, float] = {}
        self._log_file = to_file(folder.log)
        begun = folder.begun
        folder.begin(recipe, device)
        resumed = self._resume()
        if not resumed:
            rng.seed_all(self.run.seed)
        if begun:
            folder.forget_after(self.done)
        tensorboard = recipe.logging.tensorboard
        self.sink = MetricsSink(folder.path, tensorboard=tensorboard, resume_step=self.done if begun else None)
        folder.event("resumed" if resumed else "started", step=self.done)
        self._first = self.done
        self._start = self._recorded = self._shown = time.monotonic()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> None:
        try:
            if kind is Interrupted:
                self.learner.discard_gradients()
                self.save()
                self.folder.event("interrupted", step=self.done)
                log.info(f"stopped after step {self.done}; continue with --resume")
            elif kind is None:
                self.folder.event("finished", step=self.done)
            else:
                self.folder.event("failed", step=self.done, error=f"{kind.__name__}: {error}")
        finally:
            self.sink.close()
            log.removeHandler(self._log_file)
            self._log_file.close()

    def steps(self) -> Iterator[int]:
        self._start = time.monotonic()
        while self.done < self.run.steps:
            yield self.done + 1
            if self._due(self.run.save_every) or self.done == self.run.steps:
                self.save()
            self.stop.check()

    def finish_step(self, consumed: int, metrics: Mapping[str, float], headline: str) -> None:
        """The step's weights are final: count it, and write its record.

        Its seconds are those since the record before, so a save or an evaluation in between is in the next record.
        """
        now = time.monotonic()
        self.done += 1
        self.position += consumed
        seconds = {
            f"seconds/{phase}": value for phase, value in {**self._seconds, "step": now - self._recorded}.items()
        }
        peaks = {f"peak_memory_gib/{phase}": value for phase, value in self._peaks.items()}
        peaks["peak_memory_gib"] = max([*self._peaks.values(), self.device.peak_memory_gib()])
        self.sink.write(self.done, {**metrics, **seconds, **peaks})
        self._seconds, self._peaks, self._recorded = {}, {}, now
        if now - self._shown < _QUIET_SECONDS and self.done < self.run.steps:
            return
        self._shown = now
        pace = (now - self._start) / (self.done - self._first)
        left = duration(pace * (self.run.steps - self.done))
        log.info(f"step {self.done}/{self.run.steps}  {headline}  {pace:.1f} s/step  {left} left")

    def evaluation_due(self) -> bool:
        """Before the first step, at the period, and after the last."""
        return self.done in (0, self.run.steps) or self._due(self.run.evaluate_every)

    @contextmanager
    def clock(self, phase: str) -> Iterator[None]:
        """Adds the time inside to `seconds/PHASE` of the current step, and keeps the memory's peak."""
        self.device.reset_peak_memory()
        start = time.monotonic()
        yield
        self._seconds[phase] = self.seconds(phase) + time.monotonic() - start
        self._peaks[phase] = max(self._peaks.get(phase, 0.0), self.device.peak_memory_gib())

    def seconds(self, phase: str) -> float:
        """Time spent in a phase of the current step so far."""
        return self._seconds.get(phase, 0.0)

    def save(self) -> None:
        """Publish a checkpoint of the finished steps."""
        if self._saved == self.done:
            return
        with self.clock("save"):
            store.publish(self.folder.checkpoint(self.done), self._fill)
            store.prune(self.folder.checkpoints, self.run.keep_checkpoints)
        self._saved = self.done
        self.folder.event("saved", step=self.done)

    def _fill(self, folder: Path) -> None:
        self.learner.save(folder)
        rng.save(folder)
        (folder / "state.json").write_text(json.dumps({"step": self.done, "position": self.position}))

    def _resume(self) -> bool:
        """Load the newest intact checkpoint; False if there is none, and the run starts from the beginning."""
        newest = store.newest_intact(self.folder.checkpoints, self._damaged)
        if newest is None:
            return False
        self.learner.load(newest)
        rng.load(newest)
        state = json.loads((newest / "state.json").read_text())
        self.done, self.position = state["step"], state["position"]
        self._saved = self.done
        log.info(f"resuming after step {self.done} from {newest}")
        return True

    def _damaged(self, what: str) -> None:
        log.warning(f"damaged checkpoint passed over: {what}")
        self.folder.event("damaged checkpoint", what=what)

    def _due(self, every: int) -> bool:
        return every > 0 and self.done % every == 0
