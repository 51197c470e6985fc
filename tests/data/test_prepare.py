"""`r1zero prepare`: same bytes whatever happens, bad rows set aside, too many stop it, nothing left half done."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from r1zero.base.errors import UsageError
from r1zero.config import PrepareRecipe, load
from r1zero.data.indexed import IndexedDataset
from r1zero.data.prepare import workers
from r1zero.data.read.readers import file_chunks

from ..recipes import r1zero
from .prepared import everything, field, quarantined, recipe, run, texts, tokenizer, write_jsonl

TEXT: dict[str, Any] = {"handler_name": "GeneralPretrainHandler"}
ALPACA: dict[str, Any] = {"handler_name": "AlpacaStyleInstructionHandler"}
ROWS = [{"text": f"{n} sheep and {n * n} stars"} for n in range(40)]


def test_the_same_output_from_every_file_type_and_folders(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    table = pyarrow.Table.from_pylist(ROWS)
    pyarrow.parquet.write_table(table, tmp_path / "in.parquet", row_group_size=7)
    with pyarrow.ipc.new_file(str(tmp_path / "in.arrow"), table.schema) as file:
        file.write_table(table)
    with pyarrow.ipc.new_stream(str(tmp_path / "stream.arrow"), table.schema) as file:
        file.write_table(table)
    (tmp_path / "in.json").write_text(json.dumps(ROWS))
    (tmp_path / "lines.json").write_text("\n".join(map(json.dumps, ROWS)))
    (tmp_path / "in.csv").write_text("text\n" + "\n".join(row["text"] for row in ROWS))
    (tmp_path / "in.txt").write_text("\n\n".join(row["text"] for row in ROWS))
    write_jsonl(tmp_path / "in.jsonl", ROWS)
    write_jsonl(folder / "b.jsonl", ROWS[15:])
    write_jsonl(folder / "a.jsonl", ROWS[:15])
    (folder / "README.txt").write_text("no data")
    inputs = ["in.parquet", "in.arrow", "stream.arrow", "in.json", "lines.json", "in.csv", "in.txt", "in.jsonl", "in"]
    made = {}
    for name in inputs:
        run(tmp_path, input=str(tmp_path / name), overwrite=True, **TEXT)
        made[name] = field(tmp_path, "text", "")
    expected = [tokenizer()(row["text"], add_special_tokens=False)["input_ids"] for row in ROWS]
    assert all(ids == expected for ids in made.values()), [name for name in made if made[name] != expected]


def test_several_inputs_and_max_samples(tmp_path: Path) -> None:
    for name in "ab":
        write_jsonl(tmp_path / f"{name}.jsonl", [{"text": f"{name}{n}"} for n in range(5)])
    both = f"{tmp_path}/a.jsonl, {tmp_path}/b.jsonl"
    run(tmp_path, input=both, max_samples=7, **TEXT)
    assert texts(tmp_path, "text", "") == ["a0", "a1", "a2", "a3", "a4", "b0", "b1"]


def test_worker_processes_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1zero.data.read.rows.CHUNK_ROWS", 3)  # many chunks on the way
    rows = [*ROWS, b"broken", {"text": ""}]
    run(tmp_path, rows, max_bad_fraction=1, **TEXT)
    one = everything(tmp_path)
    shutil.rmtree(tmp_path / "out")
    run(tmp_path, workers=2, max_bad_fraction=1, **TEXT)
    assert everything(tmp_path) == one and len(one) == 5


def test_megatron_core_reads_what_is_made(tmp_path: Path) -> None:
    megatron = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason="needs megatron-core")
    run(tmp_path, ROWS, **TEXT)
    theirs = megatron.IndexedDataset(str(tmp_path / "out" / "data_text_document"))
    assert [theirs[index].tolist() for index in range(len(theirs))] == field(tmp_path, "text", "")


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_tables(tmp_path: Path, kind: str) -> None:
    rows = [{"instruction": f"{n}?", "output": f"{n}"} for n in range(5)]
    run(tmp_path, rows, prompt_type="default", **ALPACA)
    expected = {name: field(tmp_path, name) for name in ("input_ids", "attention_mask", "labels")}
    run(tmp_path, prompt_type="default", output_format=kind, overwrite=True, **ALPACA)
    path = tmp_path / "out" / f"data.{kind}"
    table = (
        pyarrow.parquet.read_table(path)
        if kind == "parquet"
        else pyarrow.ipc.open_file(pyarrow.memory_map(str(path))).read_all()
    )
    assert {name: table[name].to_pylist() for name in table.column_names} == expected


def test_rows_that_are_too_long_are_dropped_and_are_not_bad(tmp_path: Path) -> None:
    rows = [{"text": "ab"}, {"text": "x" * 100}, {"text": "cd"}]
    prepared = run(tmp_path, rows, seq_length=50, max_bad_fraction=0, **TEXT)
    assert texts(tmp_path, "text", "") == ["ab", "cd"]
    assert quarantined(tmp_path)[2].endswith(" tokens; seq_length = 50 keeps rows that are shorter")
    assert prepared.counts["rows too long"] == 1 and prepared.counts["rows bad"] == 0


@pytest.mark.parametrize("neat", [False, True])
def test_packs(tmp_path: Path, neat: bool) -> None:
    rows = [{"instruction": "q" * n, "output": "a" * n} for n in (9, 2, 5, 3, 7, 100)]
    prepared = run(tmp_path, rows, prompt_type="empty", pack=True, neat_pack=neat, seq_length=24, **ALPACA)
    packs = zip(*(field(tmp_path, name) for name in ("input_ids", "attention_mask", "labels")), strict=True)
    seen = []
    for ids, mask, labels in packs:
        assert len(ids) == len(mask) == len(labels) == 24
        if neat:
            end = mask.index(0) if 0 in mask else 24
            assert mask[:end] == sorted(mask[:end]) and list(dict.fromkeys(mask[:end])) == list(
                range(1, mask[end - 1] + 1)
            )
            assert set(mask[end:]) <= {0} and set(labels[end:]) <= {-100}
        else:
            assert set(mask) == {1}
        seen.append(tokenizer().decode([token for token in labels if token != -100]).count("a"))
        assert all(label in (-100, token) for token, label in zip(ids, labels, strict=True))
    assert sum(seen) == 26 and prepared.counts["packs"] == len(seen) and prepared.counts["rows too long"] == 1


NASTY = [
    {"instruction": "q", "output": "a"},
    b'{"instruction": "broken',
    b'{"instruction": "q", "output": "\xff\xfe"}',
    b"[1, 2]",
    b'{"instruction": "' + b"x" * (10 << 20) + b'", "output": "a"}',
    {"instruction": "q\0", "output": "a"},
    {"instruction": 5, "output": "fine: a number"},
    b'{"instruction": "q", "output": NaN}',
    b'{"instruction": "q", "output": "a", "output": "b"}',
    b'{"instruction": "q", "output": ' + b"9" * 4000 + b"}",
    b'{"instruction": "q", "output": ' + b"[" * 100_000,
    {"instruction": "last", "output": "a"},
]


def test_bad_rows_are_set_aside_with_file_line_and_reason(tmp_path: Path) -> None:
    prepared = run(tmp_path, NASTY, max_bad_fraction=0.9, **ALPACA)
    reasons = quarantined(tmp_path)
    assert list(reasons) == [2, 3, 4, 5, 6, 8, 9, 11]
    assert reasons[2].startswith("not valid JSON: Unterminated string") and reasons[3].startswith(
        "not valid JSON: 'utf-8'"
    )
    assert reasons[4] == "a row must be an object, found list"
    assert reasons[5] == f"the line has {(10 << 20) + 35} bytes, more than 8388608"
    assert reasons[6] == "the text contains a NUL byte" and reasons[11].startswith("not valid JSON")
    assert reasons[8] == "column 'output' is nan, not a number"
    assert reasons[9] == "not valid JSON: the key 'output' occurs twice in an object"
    assert texts(tmp_path, "input_ids") == ["qa", "5fine: a number", f"q{'9' * 4000}", "lasta"]
    entry = json.loads((tmp_path / "out" / "data_quarantine.jsonl").read_text().splitlines()[0])
    assert entry["source"] == str(tmp_path / "in.jsonl") and entry["row"] == {"line": '{"instruction": "broken'}
    assert (tmp_path / "out" / "data_quarantine.jsonl").stat().st_size < 10_000
    assert {name: prepared.counts[name] for name in ("rows read", "rows used", "rows bad")} == {
        "rows read": 12, "rows used": 4, "rows bad": 8
    }  # fmt: skip


def test_bad_cells_of_a_csv(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(b"text\ngood\n\xff\xfe\nmore,cells\nlast\n")
    run(tmp_path, input=str(tmp_path / "in.csv"), max_bad_fraction=0.5, **TEXT)
    assert quarantined(tmp_path) == {
        3: "not valid UTF-8; save the file as UTF-8",
        4: "has more than the 1 cells of the header",
    }
    assert texts(tmp_path, "text", "") == ["good", "last"]


def error(tmp_path: Path, rows: list[Any] | None = None, **settings: Any) -> str:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError) as caught:
        run(tmp_path, rows, **settings)
    new = {path.relative_to(tmp_path).parts[0] for path in set(tmp_path.rglob("*")) - set(before)}
    assert new <= {"in.jsonl", "prepare.yaml", "out"} and not list((tmp_path / "out").glob(".*"))
    return str(caught.value).replace(str(tmp_path), "DIR")


def test_too_many_bad_rows_stop_and_leave_nothing(tmp_path: Path) -> None:
    rows = [{"instruction": "q", "answer": "a"}] * 3 + [{"instruction": "q", "output": "a"}] * 7
    assert error(tmp_path, rows, max_bad_fraction=0.2, **ALPACA) == (
        "input = 'DIR/in.jsonl': 3 of 10 rows are bad, more than max_bad_fraction = 0.2; most often (3): "
        "column 'output' is "
        "missing, first at DIR/in.jsonl:1 (its columns: instruction, answer); nothing was written. Mend the rows or "
        "map_keys, or raise max_bad_fraction"
    )
    assert not list((tmp_path / "out").iterdir())


def test_too_many_bad_rows_stop_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1zero.data.prepare.run._CHECK_AFTER", 10)
    monkeypatch.setattr("r1zero.data.read.rows.CHUNK_ROWS", 10)
    rows = [{"text": ""}] * 20 + [{"text": "x"}] * 1000
    assert ": 10 of 10 rows are bad, more than max_bad_fraction = 0.05;" in error(tmp_path, rows, **TEXT)


def test_an_output_that_was_there_survives_a_failure(tmp_path: Path) -> None:
    run(tmp_path, ROWS, **TEXT)
    before = everything(tmp_path)
    error(tmp_path, [{"text": ""}], overwrite=True, **TEXT)
    assert everything(tmp_path) == before


def test_nothing_left(tmp_path: Path) -> None:
    assert error(tmp_path, [], **TEXT) == "input = 'DIR/in.jsonl': the data set is empty"
    assert error(tmp_path, [{"text": "abcdef"}], seq_length=2, **TEXT).startswith(
        "input = 'DIR/in.jsonl': no row is left of 1; most often (1): too long for seq_length, first at DIR/in.jsonl:1"
    )
    assert error(tmp_path, input="./nowhere.jsonl", **TEXT) == "path = 'nowhere.jsonl': no such file"
    (tmp_path / "empty").mkdir()
    assert error(tmp_path, input=str(tmp_path / "empty"), **TEXT) == (
        "path = 'DIR/empty': the folder holds no data files; use one of .jsonl, .json, .csv, .parquet, .arrow, .txt"
    )


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("in.json", '{"a": [1]}', "must hold a list of rows, found dict"),
        ("in.json", "", "must hold a list of rows, found nothing"),
        ("in.json", '[{"text": "a"}', "not valid JSON: the list does not end"),
        ("in.json", '[{"text": }]', "not valid JSON: Expecting value: line 1 column 11 (char 10)"),
        ("in.parquet", "xxxxxxxxxxxxxxxx", "not valid Parquet: "),
        ("in.arrow", "xxxxxxxxxxxxxxxx", "not valid Arrow: "),
    ],
)
def test_files_that_cannot_be_read_at_all(tmp_path: Path, name: str, content: str, says: str) -> None:
    (tmp_path / name).write_text(content)
    assert error(tmp_path, input=str(tmp_path / name), **TEXT).startswith(f"path = 'DIR/{name}': {says}")


def test_lines_of_all_lengths_keep_their_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of lines against Python's own reading of lines."""
    monkeypatch.setattr("r1zero.data.read.rows.CHUNK_BYTES", 64)
    monkeypatch.setattr("r1zero.data.read.rows.CHUNK_ROWS", 3)
    monkeypatch.setattr("r1zero.data.read.readers.MAX_ROW_BYTES", 300)
    lengths = [5, 0, 1, 301, 300, 299, 2000, 64, 63, 65, 0, 0, 0, 0, 128, 500, 301]
    for end in (b"", b"\n", b"\r\n"):
        lines = [b"x" * length for length in lengths]
        (tmp_path / "in.txt").write_bytes(b"\xef\xbb\xbf" + b"\n".join(lines) + end)
        expected: list[tuple[int, str]] = []
        with (tmp_path / "in.txt").open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                text = line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n").decode()
                if len(line) > 300:
                    expected.append((number, f"the line has {len(line)} bytes, more than 300"))
                elif text:
                    expected.append((number, text))
        chunks = list(file_chunks(tmp_path / "in.txt"))
        found = [(row.where, row.error or row.columns["text"]) for chunk in chunks for row in chunk.rows()]
        assert found == expected
        assert sum(chunk.size for chunk in chunks) == (tmp_path / "in.txt").stat().st_size
        assert max(len(list(chunk.rows())) for chunk in chunks) <= 3


def test_bad_items_of_a_json_list(tmp_path: Path) -> None:
    long = json.dumps({"text": "x" * (9 << 20)})
    (tmp_path / "in.json").write_text(
        f'[{{"text": "a"}}, {{"text": "b", "text": "c"}}, "d", 5, {long}, {{"text": "e"}}]'
    )
    run(tmp_path, input=str(tmp_path / "in.json"), max_bad_fraction=0.9, **TEXT)
    assert quarantined(tmp_path) == {
        2: "not valid JSON: the key 'text' occurs twice in an object",
        3: "a row must be an object, found str",
        4: "a row must be an object, found int",
        5: f"the item has {len(long)} characters, more than 8388608",
    }
    assert texts(tmp_path, "text", "") == ["a", "e"]


def test_a_header_that_names_a_column_twice(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text,text\na,b\n")
    assert error(tmp_path, input=str(tmp_path / "in.csv"), **TEXT) == (
        "path = 'DIR/in.csv': the header names the column 'text' twice"
    )


@pytest.mark.slow
def test_memory_does_not_grow_with_the_input(tmp_path: Path) -> None:
    """Ten times the input, the same memory: of the reading and tokenising process, beyond what it began with."""
    grown = {}
    for megabytes in (3, 30):
        line = json.dumps({"text": "one, two, three and many more words of a text " * 20}) + "\n"
        with (tmp_path / "in.jsonl").open("w") as out:
            for _ in range(megabytes * 1_000_000 // len(line)):
                out.write(line)
        recipe(tmp_path, tokenizer_name_or_path="tiny", overwrite=True, **TEXT)
        done = subprocess.run([sys.executable, "-c", GROWTH, tmp_path / "prepare.yaml"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        grown[megabytes] = int(done.stdout)
    assert grown[30] < grown[3] + 20_000_000, grown


GROWTH = """
import gc, sys
from pathlib import Path
from r1zero.config import PrepareRecipe, load
from r1zero.data.prepare.run import prepare
from r1zero.models.tokenizer import load_tokenizer

def kilobytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name)))

recipe = load(PrepareRecipe, sys.argv[1])
tokenizer = load_tokenizer(recipe.tokenizer_name_or_path)
before = kilobytes("VmRSS:")
prepare(recipe, tokenizer)
print(1000 * (kilobytes("VmHWM:") - before))
"""


def test_a_long_json_list_is_read_in_pieces(tmp_path: Path) -> None:
    rows = [{"text": f"{n} " + "é" * 1000} for n in range(3000)] + [{"text": "y" * (3 << 20)}]
    (tmp_path / "in.json").write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
    chunks = list(file_chunks(tmp_path / "in.json"))
    assert [row.columns for chunk in chunks for row in chunk.rows()] == rows and len(chunks) > 3
    assert [row.where for chunk in chunks for row in chunk.rows()] == list(range(1, 3002))


def test_the_same_again_does_nothing_and_something_else_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path, ROWS, **TEXT)
    before = everything(tmp_path)
    with caplog.at_level("INFO", logger="r1zero"):
        assert run(tmp_path, workers=2, **TEXT).outputs == ()
    assert "is there already, made of the same inputs and settings; nothing to do" in caplog.text
    refused = (
        "output_prefix = 'DIR/out/data': data_card.json is there already, and not of these inputs and "
        "settings; choose another prefix, or set overwrite=true"
    )
    assert error(tmp_path, append_eod=True, **TEXT) == refused
    assert error(tmp_path, ROWS[1:], **TEXT) == refused
    assert everything(tmp_path) == before
    (tmp_path / "out" / "data_text_document.bin").write_bytes(b"")  # damaged: made again
    assert error(tmp_path, ROWS, **TEXT) == refused
    run(tmp_path, ROWS, overwrite=True, **TEXT)
    assert everything(tmp_path) == before


def test_replacing_removes_what_the_new_output_has_not(tmp_path: Path) -> None:
    run(tmp_path, [*ROWS, {"text": ""}], json_keys=["text"], **TEXT)
    assert "data_quarantine.jsonl" in everything(tmp_path)
    run(tmp_path, ROWS, output_format="parquet", overwrite=True, **TEXT)
    assert list(everything(tmp_path)) == ["data.parquet", "data_card.html", "data_card.json"]


def test_files_of_someone_else_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "data_text_document.bin").write_bytes(b"theirs")
    assert "data_text_document.bin is there already" in error(tmp_path, ROWS, **TEXT)
    assert everything(tmp_path) == {"data_text_document.bin": b"theirs"}


def test_killed_and_started_again_gives_the_same_bytes(tmp_path: Path) -> None:
    """SIGKILL with two workers, half-way through writing; the workers follow their parent."""
    rows = [{"text": f"{n} and many words after it"} for n in range(20_000)]
    write_jsonl(tmp_path / "in.jsonl", rows)
    recipe(tmp_path, workers=2, **TEXT)
    command = [sys.executable, "-m", "r1zero.cli.main", "prepare", str(tmp_path / "prepare.yaml")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    growing = tmp_path / "out" / ".tmp-data" / ".tmp-data_text_document.bin"
    deadline = time.monotonic() + 120
    while not (growing.exists() and growing.stat().st_size > 10_000):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)  # returns when the workers, who hold the pipes too, are gone
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".tmp-data"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    killed = everything(tmp_path)
    shutil.rmtree(tmp_path / "out")
    r1zero("prepare", tmp_path / "prepare.yaml", "workers=1")
    assert everything(tmp_path) == killed and "data_card.json" in killed and len(killed) == 4


def test_killed_while_renaming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, ROWS, **TEXT)
    whole = everything(tmp_path)
    for file in (tmp_path / "out").iterdir():
        file.unlink()

    class Killed(BaseException):
        pass

    from r1zero.data.prepare import outputs

    real, renames = outputs.os.replace, []

    def replace(source: Path, target: Path) -> None:
        renames.append(target)
        if len(renames) == 3:
            raise Killed
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(outputs.os, "replace", replace)
        patch.setattr(outputs.Staging, "__exit__", lambda *_: None)  # a kill cleans nothing up
        with pytest.raises(Killed):
            run(tmp_path, ROWS, **TEXT)
    assert not (tmp_path / "out" / "data_card.json").exists()
    run(tmp_path, ROWS, **TEXT)
    assert everything(tmp_path) == whole


def test_a_killed_worker_is_an_error_and_not_a_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_start", _die)
    assert error(tmp_path, ROWS, workers=2, **TEXT) == (
        "workers = 2: a worker process was killed, most likely for want of memory; use fewer workers"
    )


def _die(*_: object) -> None:
    import os

    os._exit(9)


def test_the_seeds_yaml_runs_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """configs/datasets/deepscaler.yaml, its relative paths included."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dataset").mkdir()
    (tmp_path / "model_from_hf").mkdir()
    tokenizer().save_pretrained(tmp_path / "model_from_hf" / "qwen25-7b")
    rows = [{"problem": f"What is {n} + {n}?", "answer": str(2 * n), "solution": "..."} for n in range(30)]
    (tmp_path / "dataset" / "deepscaler.json").write_text(json.dumps(rows, indent=2))
    (tmp_path / "deepscaler.yaml").write_text(
        """\
input: ./dataset/deepscaler.json
tokenizer_name_or_path: ./model_from_hf/qwen25-7b
output_prefix: ./dataset/deepscaler/data
handler_name: R1AlpacaStyleInstructionHandler
tokenizer_type: HuggingFaceTokenizer
workers: 8
log_interval: 1000
prompt_type: qwen_r1
map_keys: {"prompt":"problem", "query":"", "response": "answer", "system":""}
dataset_additional_keys: ["labels"]
"""
    )
    r1zero("prepare", "deepscaler.yaml", "workers=1")
    made = tmp_path / "dataset" / "deepscaler"
    assert sorted(path.name for path in made.iterdir()) == [
        "data_card.html",
        "data_card.json",
        *sorted(
            f"data_packed_{name}_document.{suffix}"
            for name in ("input_ids", "attention_mask", "labels")
            for suffix in ("bin", "idx")
        ),
    ]
    labels = IndexedDataset(made / "data_packed_labels_document")
    assert [tokenizer().decode(ids.tolist()) for ids in labels] == [row["answer"] for row in rows]
    assert "rows used" in capsys.readouterr().out


def test_the_card(tmp_path: Path) -> None:
    rows = [{"instruction": "<b>bold</b>?", "output": f"a{n}"} for n in range(12)] + [{"instruction": "q"}]
    run(tmp_path, rows, prompt_type="qwen", max_bad_fraction=0.1, **ALPACA)
    page = (tmp_path / "out" / "data_card.html").read_text()
    facts = json.loads((tmp_path / "out" / "data_card.json").read_text())
    assert "<b>" not in page and "&lt;b&gt;bold&lt;/b&gt;" in page and "<mark>a0&lt;|im_end|&gt;</mark>" in page
    assert facts["counts"]["rows used"] == 12 and facts["removed"][0]["reason"] == "column 'output' is missing"
    import hashlib

    data = (tmp_path / "in.jsonl").read_bytes()
    assert facts["inputs"] == [
        {"path": str(tmp_path / "in.jsonl"), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    ]
    assert facts["settings"]["prompt_type"] == "qwen" and "workers" not in facts["settings"]
    assert facts["lengths"]["input_ids (tokens per row)"]["count"] == 12
    assert [sample["title"].split(":")[0] for sample in facts["samples"]] == ["row 1", "row 2", "row 3", "row 10"]
    assert facts["outputs"]["data_quarantine.jsonl"] > 0 and str(facts["inputs"][0]["sha256"]) in page


def test_merge(tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    for name, rows in (("a", ROWS[:3]), ("b", ROWS[3:])):
        run(tmp_path, rows, output_prefix=str(parts / name), **TEXT)
    run(tmp_path, ROWS, **TEXT)
    merging = ["merge_group_keys=[text_document]", f"input={parts}", f"output_prefix={tmp_path}/merged"]
    r1zero("prepare", tmp_path / "prepare.yaml", *merging)
    for suffix in ("bin", "idx"):
        whole = (tmp_path / "out" / f"data_text_document.{suffix}").read_bytes()
        assert (tmp_path / f"merged_text_document.{suffix}").read_bytes() == whole
    with pytest.raises(UsageError, match="merged_text_document.idx is there already; set overwrite=true"):
        r1zero("prepare", tmp_path / "prepare.yaml", *merging)
    with pytest.raises(UsageError, match="merge_group_keys = 'nope': no dataset in .* has it in its name"):
        r1zero("prepare", tmp_path / "prepare.yaml", *merging, "merge_group_keys=[nope]")


def test_hub_and_modelscope_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    import datasets

    calls = []

    def load_dataset(path: str, subset: str | None, **settings: Any) -> list[dict[str, str]]:
        calls.append((path, subset, settings))
        return [{"text": "from the hub"}]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    run(tmp_path, input="someone/data", subset="main", split="test", **TEXT)
    assert texts(tmp_path, "text", "") == ["from the hub"]
    assert calls == [("someone/data", "main", {"split": "test", "streaming": True})]
    folder = tmp_path / "downloaded"
    folder.mkdir()
    write_jsonl(folder / "train.jsonl", [{"text": "from modelscope"}])
    module = types.ModuleType("modelscope.hub.snapshot_download")
    module.dataset_snapshot_download = lambda name: {"AI-MO/x": str(folder)}[name]  # pyright: ignore
    for name in ("modelscope", "modelscope.hub"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    run(tmp_path, input="modelscope:AI-MO/x", overwrite=True, **TEXT)
    assert texts(tmp_path, "text", "") == ["from modelscope"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"handler_nme": "x"}, "handler_nme = 'x': unknown key; did you mean 'handler_name'?"),
        ({}, "handler_name = '': missing; name the handler that says what a row is for (docs/data.md)"),
        (ALPACA | {"pack": True}, "pack = True: needs a length of packs; set seq_length"),
        (ALPACA | {"neat_pack": True}, "neat_pack = True: numbers the rows of a pack; set pack=true too"),
        (
            TEXT | {"pack": True, "seq_length": 9},
            "pack = True: GeneralPretrainHandler is not packed here; leave it out",
        ),
        (
            TEXT | {"split_sentences": True},
            "split_sentences = True: splitting into sentences is not done here; leave it out",
        ),
    ],
)
def test_mistakes_in_the_yaml(tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        recipe(tmp_path, **settings)
    assert str(caught.value).endswith(says)


def test_mindspeeds_other_keys(tmp_path: Path) -> None:
    settings = recipe(tmp_path, **{"handler-name": "GeneralPretrainHandler", "cache-dir": "x", "n_subs": 16})
    assert settings.handler_name == "GeneralPretrainHandler" and settings.without_effect() == ["cache_dir", "n_subs"]
    assert isinstance(load(PrepareRecipe, tmp_path / "prepare.yaml"), PrepareRecipe)


def test_memory_maps_are_not_copied(tmp_path: Path) -> None:
    run(tmp_path, ROWS, **TEXT)
    ids = IndexedDataset(tmp_path / "out" / "data_text_document")[0]
    assert isinstance(ids, np.ndarray) and not ids.flags.owndata and not ids.flags.writeable
