"""`report.html`: curves, evaluations and answers before and after, in one file that needs no network."""

from __future__ import annotations

from html import escape
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from r1zero.report import read

_CURVES = {
    "reward": "reward",
    "accuracy": "accuracy",
    "format": "format",
    "response_length": "response length (tokens)",
    "reflection_rate": "reflection rate",
    "kl": "KL to the start weights (nats per token)",
    "entropy": "entropy (nats per token)",
    "loss": "loss",
    "evaluation/loss": "held-out loss",
    "margin": "margin between chosen and rejected",
    "grad_norm": "gradient norm",
}
_EVALUATION = {
    "evaluation/loss": "loss",
    "evaluation/accuracy": "accuracy",
    "evaluation/greedy_accuracy": "accuracy (greedy)",
    "evaluation/format": "format",
    "evaluation/response_length": "response length",
    "evaluation/reflection_rate": "reflection rate",
    "evaluation/truncated_rate": "cut off",
}
_SHOWN_PROBLEMS = 12
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2em auto; padding: 0 1em; color: #1c2330; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; padding: .35em .7em;
border-bottom: 1px solid #dde2ea; } th { font-weight: 600; } td.number { font-variant-numeric: tabular-nums; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; font: 13px/1.4 ui-monospace, monospace; }
.right { color: #0a7d36; } .wrong { color: #b3261e; } h1, h2 { line-height: 1.2; } h2 { margin-top: 2em; }
"""


def write_report(run: Path) -> Path:
    """Write `report.html` into a run folder and return its path. Text that a model or a data file wrote is escaped."""
    body = [f"<h1>{escape(run.resolve().name)}</h1>", _figure(run), _evaluations(run), _answers(run), _settings(run)]
    page = (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>r1zero: {escape(run.resolve().name)}</title>"
        f"<style>{_STYLE}</style><script>{get_plotlyjs()}</script><body>{''.join(body)}</body></html>"
    )
    path = run / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _figure(run: Path) -> str:
    curves = read.curves(run, list(_CURVES))
    if not curves:
        return "<p>No step has finished yet.</p>"
    rows = -(-len(curves) // 3)
    figure = make_subplots(
        rows, 3, subplot_titles=[_CURVES[curve.name] for curve in curves], vertical_spacing=0.26 / rows
    )
    for place, curve in enumerate(curves):
        line = go.Scatter(
            x=curve.steps, y=curve.values, mode="lines", line={"color": "#2457c5", "width": 2}, name=curve.name
        )
        figure.add_trace(line, row=place // 3 + 1, col=place % 3 + 1)
    figure.update_xaxes(title_text="step", row=rows)
    figure.update_layout(
        height=270 * rows, showlegend=False, template="plotly_white", margin={"t": 40, "l": 40, "r": 20}
    )
    return figure.to_html(full_html=False, include_plotlyjs=False)


def _evaluations(run: Path) -> str:
    evaluations = read.evaluations(run)
    if not evaluations:
        return ""
    names = [name for name in _EVALUATION if name in evaluations[0][1]]
    head = "".join(f"<th>{_EVALUATION[name]}</th>" for name in names)
    rows = [
        f"<tr><td class='number'>{step}</td>"
        + "".join(f"<td class='number'>{metrics.get(name, float('nan')):.3f}</td>" for name in names)
        + "</tr>"
        for step, metrics in evaluations
    ]
    of = next((name for name in ("problems", "rows") if f"evaluation/{name}" in evaluations[0][1]), "problems")
    count = int(evaluations[0][1].get(f"evaluation/{of}", 0))
    return f"<h2>{count} held-out {of}</h2><table><tr><th>step</th>{head}</tr>{''.join(rows)}</table>"


def _answers(run: Path) -> str:
    """The same problems before and after, those that changed most first."""
    evaluations = read.evaluations(run)
    if len(evaluations) < 2:
        return ""
    before, after = (read.answers(run, evaluations[place][0]) for place in (0, -1))
    if not before:
        return ""
    gain = {key: after[key].share_right - before[key].share_right for key in before.keys() & after.keys()}
    chosen = sorted(gain, key=lambda key: (-gain[key], key))[: _SHOWN_PROBLEMS - 3]
    chosen += sorted(gain, key=lambda key: (gain[key], key))[:3]
    rows = []
    for key in dict.fromkeys(chosen):
        old, new = before[key], after[key]
        question = f"{escape(old.question)}<br><b>{escape(old.answer)}</b>"
        rows.append(f"<tr><td>{question}</td><td>{_response(old)}</td><td>{_response(new)}</td></tr>")
    return (
        "<h2>Problems answered before and after</h2><p>First samples; the last three rows are those that lost most.</p>"
        f"<table><tr><th>problem and answer</th><th>before</th><th>after</th></tr>{''.join(rows)}</table>"
    )


def _response(answered: read.Answered) -> str:
    mark = "right" if answered.right[0] else "wrong"
    share = f"{sum(answered.right)} of {len(answered.right)} samples right"
    return f"<pre class='{mark}'>{escape(answered.sampled[0])}</pre><small>{share}</small>"


def _settings(run: Path) -> str:
    config = run / "config.yaml"
    text = escape(config.read_text(encoding="utf-8")) if config.exists() else ""
    return f"<h2>Recipe</h2><pre>{text}</pre>"
