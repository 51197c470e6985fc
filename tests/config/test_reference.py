"""docs/recipe-keys.md is what the schema says."""

from pathlib import Path

from r1zero.config.reference import reference

PAGE = Path(__file__).parent.parent.parent / "docs" / "recipe-keys.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == reference(), "run: python -m r1zero.config.reference > docs/recipe-keys.md"
