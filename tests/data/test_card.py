"""The data card's arithmetic and page, on values small enough to check by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from r1zero.data.card import Card, InputFile, Removed, Sample, hash_file, histogram, quantiles, table, write_card
from r1zero.data.prepare.knapsack import fill


def test_quantiles_are_exact() -> None:
    assert quantiles({2: 1, 4: 1}) == {"count": 2, "mean": 3.0, "min": 2, "p50": 2, "p90": 4, "p99": 4, "max": 4}
    assert quantiles(dict.fromkeys(range(1, 101), 1)) == {
        "count": 100, "mean": 50.5, "min": 1, "p50": 50, "p90": 90, "p99": 99, "max": 100
    }  # fmt: skip
    assert quantiles({}) == {"count": 0}


def test_histograms_hold_every_row_once() -> None:
    assert histogram({}) == [] and histogram({7: 3}) == [(7, 7, 3)]
    bins = histogram({1: 2, 5: 1, 6: 4}, bins=3)
    assert bins == [(1, 2, 2), (3, 4, 0), (5, 6, 5)]


def test_tables_align() -> None:
    assert table([("rows", 1234567), ("share", 0.25), ("name", "x")]) == (
        "  rows   1,234,567\n  share       0.25\n  name   x"
    )


def test_the_page_escapes_what_data_says_and_needs_nothing_else(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    (tmp_path / "in").write_text("x")
    card = Card(
        title=evil,
        counts={evil: evil, "rows": 3},
        inputs=[hash_file(tmp_path / "in"), InputFile(evil)],
        settings={evil: [evil]},
        versions={"r1zero": evil},
        lengths={evil: {1: 1}},
        removed=[Removed(evil, 2, ((evil, evil * 100),))],
        samples=[Sample(evil, f"{evil} learned \udc80", ((len(evil), len(evil) + 8),))],
    )
    write_card(card, tmp_path / "c.html")
    page = (tmp_path / "c.html").read_text()
    assert "<script" not in page and "src=" not in page and "http" not in page and page.count("&lt;script&gt;") > 8
    assert "<mark> learned</mark>" in page
    facts = json.loads((tmp_path / "c.json").read_text(errors="replace"))
    assert facts["inputs"][0]["sha256"] == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert facts["lengths"][evil]["max"] == 1


@pytest.mark.parametrize(
    ("lengths", "packs"),
    [([3, 5, 2, 4], [[5, 2], [4, 3]]), ([7], [[7]]), ([], []), ([1] * 8, [[1] * 7, [1]])],
)
def test_packs_are_filled_greedily(lengths: list[int], packs: list[list[int]]) -> None:
    assert list(fill(lengths, 7)) == packs
