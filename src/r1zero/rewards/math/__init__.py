"""Judging final answers in mathematics.

clean -> structure (expression, units) -> compare (formulas, evaluate); extract finds the answer, judge puts it
together."""

from r1zero.rewards.math.judge import UNVERIFIABLE, Judgement, equivalent, judge, plain_number, verifiable

__all__ = ["UNVERIFIABLE", "Judgement", "equivalent", "judge", "plain_number", "verifiable"]
