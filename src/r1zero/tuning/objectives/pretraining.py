"""Pretraining: the next token of documents."""

from __future__ import annotations

import numpy as np

from r1zero import config
from r1zero.data.handlers import Fields
from r1zero.data.read.cells import BadRow
from r1zero.tuning.objectives.base import Objective, sample
from r1zero.tuning.objectives.sft import next_token
from r1zero.types import Sample


def document(fields: Fields) -> tuple[Sample, ...]:
    """All tokens but the first, which documents share: an end token, or for a piece of a long document the last token
    of the piece before."""
    ids = fields["input_ids"]
    if len(ids) < 2:
        raise BadRow("the document is empty")
    return (sample(ids, 1, np.ones(len(ids) - 1, dtype=bool)),)


def pretraining(settings: config.Objective) -> Objective:
    """Token mean over the step."""
    return Objective(settings=settings, rows="text", to_samples=document, loss=next_token)


OBJECTIVES = {"pretraining": pretraining}
