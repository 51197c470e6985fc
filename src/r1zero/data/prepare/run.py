"""Raw files to tokenised training data: `r1zero prepare`.

    chunks of rows -> handler, chat format, tokenizer (worker processes) -> packs -> files, quarantine, data card

Rows keep their order, chunks are of bounded size and few are on the way, so the output depends on inputs and settings
alone, and memory on neither.
"""

from __future__ import annotations

import importlib.metadata
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from r1zero.base.device import usable_cores
from r1zero.base.errors import UsageError
from r1zero.base.log import Progress, log
from r1zero.config import PrepareRecipe, Source
from r1zero.data.card import Card, InputFile, hash_file
from r1zero.data.chat.cuts import cut
from r1zero.data.chat.formats import ChatFormat, load_format
from r1zero.data.control import control_tokens
from r1zero.data.encode import fields_of
from r1zero.data.handlers import Fields, Handler, kind_of, make_handler
from r1zero.data.prepare.knapsack import Packer
from r1zero.data.prepare.outputs import FieldData, MegatronSink, Sink, Staging, TableSink, finished
from r1zero.data.prepare.tally import Tally, quarantine
from r1zero.data.prepare.workers import Job, encode_all
from r1zero.data.read import sources
from r1zero.data.read.rows import Chunk, in_chunks

_CHECK_AFTER = 10_000  # rows, after which too many bad ones stop the run early
_NOT_IN_CARD = {"workers", "overwrite"}  # the output does not depend on them


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run made. `counts` are in the card too, `seconds` are not: the same inputs give the same card."""

    outputs: tuple[Path, ...]
    counts: Mapping[str, int | float | str]
    seconds: float


def prepare(recipe: PrepareRecipe, tokenizer: Any) -> Prepared:
    """Prepare one data set. `tokenizer` is a transformers tokenizer with a Rust core. Raises UsageError; what was there
    before is untouched then, and nothing half-written is left."""
    start = time.monotonic()
    prefix = Path(recipe.output_prefix).expanduser()
    format_ = load_format(recipe.prompt_type, recipe.prompt_type_path, recipe.enable_thinking)
    job = make_job(recipe, tokenizer, format_)
    settings = {
        name: value
        for name, value in recipe.model_dump(mode="json", exclude=_NOT_IN_CARD).items()
        if name not in recipe.without_effect() and value is not None
    }
    with ThreadPoolExecutor(1) as background, Staging(prefix, recipe.overwrite) as staging:
        hashes = background.submit(lambda: [hash_file(file) for file in _files(recipe)])
        if staging.card.exists():  # only then is it worth waiting for the hashes
            if finished(prefix, settings, [asdict(file) for file in _inputs(recipe, hashes.result())]):
                log.info(f"{prefix}: is there already, made of the same inputs and settings; nothing to do")
                return Prepared((), {}, time.monotonic() - start)
            staging.refuse_foreign([staging.card])
        tally = _write(recipe, job, staging, tokenizer)
        card = Card(
            title=f"{prefix.name}: {recipe.handler_name}",
            counts=tally.counts(job.handler.fields, packed=recipe.pack),
            inputs=_inputs(recipe, hashes.result()),
            settings=settings,
            versions={name: importlib.metadata.version(name) for name in ("r1zero", "tokenizers", "transformers")},
            lengths={f"{name} (tokens per row)": counted for name, counted in tally.shown_lengths().items()},
            removed=tally.removed(),
            samples=tally.samples,
        )
        outputs = staging.publish(card)
    return Prepared(tuple(outputs), card.counts, time.monotonic() - start)


def make_job(recipe: PrepareRecipe, tokenizer: Any, format_: ChatFormat) -> Job:
    """What workers do. Raises UsageError for a tokenizer that cannot do it."""
    name = recipe.tokenizer_name_or_path
    core = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(core, Tokenizer):
        raise UsageError(f"tokenizer_name_or_path = '{name}': has no fast (Rust) version, which is needed here")
    end = format_.stop[0] if format_.replace_eos else tokenizer.eos_token
    core.no_padding()
    core.no_truncation()
    eos_id = core.token_to_id(end) if end else None
    if eos_id is None:
        raise UsageError(
            f"prompt_type = '{recipe.prompt_type}': ends a turn with {end!r}, a token that the tokenizer "
            f"'{name}' does not have; choose another format or tokenizer"
        )
    placeholder = ("", -1)
    if kind_of(recipe.handler_name) == "process_reward":
        ids = core.encode(recipe.placeholder_token, add_special_tokens=False).ids
        if len(ids) != 1:
            raise UsageError(f"placeholder_token = '{recipe.placeholder_token}': is {len(ids)} tokens, must be one")
        placeholder = (recipe.placeholder_token, ids[0])
    handler = make_handler(
        recipe.handler_name,
        cut(format_, core),
        map_keys=recipe.map_keys,
        additional=recipe.dataset_additional_keys,
        json_keys=recipe.json_keys,
        append_eod=recipe.append_eod,
        placeholder=placeholder,
        reward_tokens=recipe.reward_tokens,
    )
    control = {*control_tokens(tokenizer), *format_.stop}
    return Job(core, tokenizer.bos_token_id, eos_id, tuple(sorted(control)), handler, recipe.seq_length)


def all_chunks(recipe: PrepareRecipe) -> Iterator[Chunk]:
    """The rows of all inputs, in order, at most `max_samples`."""
    if recipe.max_samples:
        left = recipe.max_samples
        for path in recipe.inputs():
            rows = islice(sources.read(_source(recipe, path)), left)
            for chunk in in_chunks(path, rows):
                parsed = list(chunk.rows())
                left -= len(parsed)
                yield from in_chunks(path, parsed)
        return
    for path in recipe.inputs():
        yield from sources.chunks(_source(recipe, path))


def _source(recipe: PrepareRecipe, path: str) -> Source:
    return Source(path=path, split=recipe.split, subset=recipe.subset)


def _files(recipe: PrepareRecipe) -> list[Path]:
    return [file for path in recipe.inputs() for file in sources.files(_source(recipe, path))]


def _inputs(recipe: PrepareRecipe, hashed: list[InputFile]) -> list[InputFile]:
    """The files with their hashes, and what is no file by name."""
    return hashed + [InputFile(path) for path in recipe.inputs() if not sources.files(_source(recipe, path))]


def _write(recipe: PrepareRecipe, job: Job, staging: Staging, tokenizer: Any) -> Tally:
    tally = Tally()
    workers = recipe.workers or usable_cores()
    megabytes = max(1, sum(file.stat().st_size for file in _files(recipe)) // 1_000_000)
    progress = Progress("preparing", megabytes, "MB")
    packer = Packer(recipe.seq_length or 0, _pad_id(tokenizer), recipe.neat_pack) if recipe.pack else None
    read = 0
    rejects = staging.path("_quarantine.jsonl")
    with _sink(recipe, job.handler, staging) as sink, _single_threaded(), rejects.open("wb") as bad:
        for done in encode_all(all_chunks(recipe), job, workers):
            tally.add(done, tokenizer)
            quarantine(bad, done)
            if tally.rows >= _CHECK_AFTER:
                tally.check(recipe.input, recipe.max_bad_fraction)
            if packer is None:
                sink.add(done.encoded.fields)
            else:
                tally.packs += _add_packs(sink, packer.add(fields_of(done.encoded)))
            read += done.size
            seconds = max(1e-9, time.monotonic() - progress.start)
            note = f"; {tally.used:,} rows, {tally.most_tokens() / seconds:,.0f} tokens/s, {tally.bad} bad"
            progress.advance(read // 1_000_000 - progress.done, note)
        tally.check(recipe.input, recipe.max_bad_fraction, final=True)
        if packer is not None:
            tally.packs += _add_packs(sink, packer.flush())
        sink.finish()
    if tally.used == tally.rows:
        rejects.unlink()
    return tally


@contextmanager
def _sink(recipe: PrepareRecipe, handler: Handler, staging: Staging) -> Iterator[Sink]:
    if recipe.output_format == "megatron":
        sink: Sink = MegatronSink(staging, handler.fields, handler.infix)
    else:
        sink = TableSink(staging, handler.fields, recipe.output_format)
    try:
        yield sink
    finally:
        sink.close()


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Workers are the parallelism; the tokenizer's own threads would fight over the same cores."""
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = before


def _add_packs(sink: Sink, packs: Iterator[Fields]) -> int:
    count = 0
    for pack in packs:
        one: FieldData = {name: (tokens, np.array([len(tokens)], np.int32)) for name, tokens in pack.items()}
        sink.add(one)
        count += 1
    return count


def _pad_id(tokenizer: Any) -> int:
    return tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
