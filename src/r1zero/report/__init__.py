"""What a person looks at: made from a run folder alone, never from live objects."""

from r1zero.report.page import write_report

__all__ = ["write_report"]
