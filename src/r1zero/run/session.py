"""What every training program shares: the run folder, metrics, checkpoints, resume, progress and a clean stop."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from safetensors import SafetensorError

from r1zero.base import device
from r1zero.base.device import Device
from r1zero.base.errors import Interrupted, UsageError
from r1zero.base.log import duration, log, to_file
from r1zero.config import PretrainRecipe, Recipe, TuningRecipe
from r1zero.run import rng, sinks, store
from r1zero.run.folder import RunFolder
from r1zero.run.interrupt import Stop
from r1zero.run.metrics import MetricsSink

AnyRecipe = TypeVar("AnyRecipe", Recipe, TuningRecipe, PretrainRecipe)
_QUIET_SECONDS = 2.0  # steps faster than this share a line


class Learner(Protocol):
    """What a checkpoint has to hold of a program beside what the session knows itself."""

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...

    def discard_gradients(self) -> None:
        """Forget an update that was begun."""
        ...


class Watch(Protocol):
    """What a stage that takes long is given of its session."""

    def clock(self, phase: str) -> AbstractContextManager[None]:
        """Adds the time inside to the phase's."""
        ...

    def check(self) -> None:
        """Raises Interrupted if a stop is asked for."""
        ...


def settle(recipe: AnyRecipe, folder: RunFolder) -> tuple[AnyRecipe, Device]:
    """The device of a run, and its recipe with the names of device and dtype in place of `auto`. What `auto` means is
    decided once per run: measured again, a busy machine could say otherwise. Raises UsageError for a device that is not
    there."""
    before = folder.recorded()
    kind, dtype = (
        said if said != "auto" else str(before.get(section, {}).get(key, "auto"))
        for said, section, key in ((recipe.run.device, "run", "device"), (recipe.model.dtype, "model", "dtype"))
    )
    chosen = device.select(kind, dtype, recipe.run.threads, recipe.run.deterministic)  # pyright: ignore[reportArgumentType]
    run = recipe.run.model_copy(update={"device": chosen.kind})
    model = recipe.model.model_copy(update={"dtype": chosen.dtype_name})
    return recipe.model_copy(update={"run": run, "model": model}), chosen


class Session:
    """One training run from its first or resumed step to its last. Use with `with`.

    `steps` yields the numbers of the steps to do (from 1) and saves when due; a Ctrl-C inside a step goes back to the
    step's beginning, where no weight had changed, and saves that; so does an error. `data` are fingerprints of the rows
    by source. Raises UsageError, and changes nothing, for a checkpoint or data that do not fit the recipe.
    """

    def __init__(
        self,
        recipe: Recipe | TuningRecipe | PretrainRecipe,
        folder: RunFolder,
        device: Device,
        learner: Learner,
        stop: Stop,
        data: Mapping[str, str],
    ) -> None:
        self.run, self.folder, self.device, self.learner, self.stop = recipe.run, folder, device, learner, stop
        self.done = 0  # finished steps
        self.position = 0  # data consumed by finished steps
        self._saved = -1
        self._seconds: dict[str, float] = {}
        self._peaks: dict[str, float] = {}
        self._known: set[Path] = set()  # checkpoints that are intact
        self._changing = False  # the step in progress has changed weights
        sinks.check(recipe.logging.named())
        begun = folder.begun
        if not self.run.accept_changed_data:
            folder.refuse_other_data(data)
        resumed = self._resume()
        folder.begin(recipe, device, data)  # before this line nothing of the run has changed
        self._log_file = to_file(folder.log)
        if not resumed:
            rng.seed_all(self.run.seed)
        if begun:
            folder.forget_after(self.done)
        self.sink = MetricsSink(folder.path, recipe.logging.named(), resume_step=self.done if begun else None)
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
                self._failed(kind, error)
        finally:
            self.sink.close()
            log.removeHandler(self._log_file)
            self._log_file.close()

    def _failed(self, kind: type[BaseException], error: BaseException | None) -> None:
        """Keep the finished steps, unless the weights are already beyond them, or the user does not want to wait."""
        try:
            self.folder.event("failed", step=self.done, error=f"{kind.__name__}: {error}")
            if issubclass(kind, Exception) and not self._changing and self.done > self._first:
                self.learner.discard_gradients()
                self.save()
                log.info(f"step {self.done} is saved; continue with --resume")
        except Exception as second:  # the first error is the one to see
            log.warning(f"step {self.done} could not be saved: {second}")

    def check(self) -> None:
        """Raises Interrupted if a stop is asked for."""
        self.stop.check()

    def before_update(self, stepping: bool) -> None:
        """A moment at which a step may still be given up: raises Interrupted if that was asked for. It is the last one
        when the optimizer is `stepping`: weights change from then on."""
        self.stop.check()
        self._changing = stepping

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
        self._changing = False
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
        target = self.folder.checkpoint(self.done)
        with self.clock("save"):
            try:
                store.publish(target, self._fill)
                self._known.add(target)
                store.prune(self.folder.checkpoints, target, self.run.keep_checkpoints, self._known)
            except (OSError, SafetensorError) as error:
                raise UsageError(
                    f"{target}: cannot be written: {error}; earlier checkpoints are as they were: make room, and "
                    f"continue with --resume"
                ) from error
        self._saved = self.done
        self.folder.event("saved", step=self.done)

    def _fill(self, folder: Path) -> None:
        self.learner.save(folder)
        rng.save(folder)
        (folder / "state.json").write_text(json.dumps({"step": self.done, "position": self.position}))

    def _resume(self) -> bool:
        """Load the newest intact checkpoint; False if there is none."""
        newest = self.folder.newest
        if newest is None:
            return False
        self._known.add(newest)
        self.learner.load(newest)
        rng.load(newest)
        state = json.loads((newest / "state.json").read_text())
        self.done, self.position = state["step"], state["position"]
        self._saved = self.done
        log.info(f"resuming after step {self.done} from {newest}")
        return True

    def _due(self, every: int) -> bool:
        return every > 0 and self.done % every == 0
