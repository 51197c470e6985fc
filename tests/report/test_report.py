"""The report: from a folder alone, and safe to open whatever a model wrote."""

from __future__ import annotations

import json
import re
from pathlib import Path

from r1zero.report import write_report
from r1zero.run.metrics import MetricsSink, read_metrics

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def fill(run: Path) -> None:
    run.mkdir()
    (run / "config.yaml").write_text(f"run: {{dir: '{EVIL}'}}\n")
    lines = [{"step": step, "reward": step / 10, "kl": 0.1, "entropy": None} for step in range(1, 4)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 4, "rew')
    (run / "evaluations").mkdir()
    for step, accuracy in ((0, 0.0), (3, 1.0)):
        numbers = {"evaluation/accuracy": accuracy, "evaluation/greedy_accuracy": accuracy, "evaluation/problems": 1}
        (run / "evaluations" / f"step_{step:06d}.json").write_text(json.dumps(numbers))
        rollout = {"text": f"answer {step} {EVIL}", "reward": accuracy, "accuracy": accuracy}
        record = {"problem": "p:1", "question": f"why {EVIL}", "answer": EVIL, "rollouts": [rollout]}
        answers = [{"kind": kind, **record} for kind in ("sampled", "greedy")]
        (run / "evaluations" / f"step_{step:06d}.jsonl").write_text(
            "".join(json.dumps(line) + "\n" for line in answers)
        )


def test_report_shows_the_run_and_escapes_what_others_wrote(tmp_path: Path) -> None:
    fill(tmp_path / "run")
    page = write_report(tmp_path / "run").read_text()
    body = page[page.index("<body>") :]
    assert EVIL not in body and "&lt;script&gt;alert(1)" in body
    assert "reward" in body and "KL to the start weights" in body and "entropy" not in body.split("<h2>")[0]
    assert "answer 0" in body and "answer 3" in body and "1 held-out problems" in body
    assert not re.search(r"(src|href)=[\"']?https?:", body), "the page must not need a network"


def test_report_of_a_run_that_has_only_begun(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert "No step has finished yet" in write_report(tmp_path / "run").read_text()


def test_metrics_sink_drops_what_a_resumed_run_writes_again(tmp_path: Path) -> None:
    sink = MetricsSink(tmp_path)
    for step in (1, 2, 3):
        sink.write(step, {"x": float(step)})
    sink.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "x"')
    sink = MetricsSink(tmp_path, resume_step=2)
    sink.write(3, {"x": float("nan")})
    sink.close()
    assert read_metrics(tmp_path / "metrics.jsonl") == [
        {"step": 1, "x": 1.0},
        {"step": 2, "x": 2.0},
        {"step": 3, "x": None},
    ]
