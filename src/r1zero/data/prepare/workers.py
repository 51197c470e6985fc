"""Chunks through worker processes, in order, with a bounded number on the way."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from tokenizers import Tokenizer

from r1zero.base.errors import UsageError
from r1zero.data.encode import Encoded, Encoder, encode_rows
from r1zero.data.handlers import Handler
from r1zero.data.read.rows import Chunk

_AHEAD = 2  # chunks waiting per worker
_GARBAGE = 100_000  # objects before Python looks for cycles: rows and ids make many objects and no cycles


@dataclass(frozen=True, slots=True)
class Job:
    """Everything a worker needs, picklable: the tokenizer, the ids of the special pieces, the handler."""

    tokenizer: Tokenizer
    bos_id: int | None
    eos_id: int
    control: tuple[str, ...]
    handler: Handler
    seq_length: int | None

    def start(self) -> Callable[[Chunk], Encoded]:
        encoder = Encoder(self.tokenizer, bos_id=self.bos_id, eos_id=self.eos_id, control=self.control)
        return lambda chunk: encode_rows(chunk.rows(), self.handler, encoder, self.seq_length)


@dataclass(frozen=True, slots=True)
class Done:
    """An encoded chunk, and the input it stands for."""

    source: str
    size: int
    encoded: Encoded


def encode_all(chunks: Iterable[Chunk], job: Job, workers: int) -> Iterator[Done]:
    """All chunks, in order. One worker is this process. Raises UsageError when a worker is killed."""
    if workers == 1:
        encode = job.start()
        for chunk in chunks:
            yield Done(chunk.source, chunk.size, encode(chunk))
        return
    context = multiprocessing.get_context("spawn")  # a fork would inherit the tokenizer's and torch's locked threads
    pool = ProcessPoolExecutor(workers, context, _start, (job, os.getpid()))
    waiting: deque[tuple[str, int, Future[Encoded]]] = deque()
    try:
        for chunk in chunks:
            waiting.append((chunk.source, chunk.size, pool.submit(_encode, chunk)))
            if len(waiting) > _AHEAD * workers:
                yield _next(waiting)
        while waiting:
            yield _next(waiting)
    except BrokenProcessPool:
        raise UsageError(
            f"workers = {workers}: a worker process was killed, most likely for want of memory; use fewer workers"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _next(waiting: deque[tuple[str, int, Future[Encoded]]]) -> Done:
    source, size, future = waiting.popleft()
    return Done(source, size, future.result())


_encoder: Callable[[Chunk], Encoded]


def _start(job: Job, parent: int) -> None:
    global _encoder
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends the pool
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    _encoder = job.start()


def _encode(chunk: Chunk) -> Encoded:
    return _encoder(chunk)


def _follow(parent: int) -> None:
    """A pool's workers outlive a parent that is killed: they wait for work from themselves."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
