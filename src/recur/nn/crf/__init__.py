"""Conditional random fields: labels of steps that depend on each other."""

from recur.nn.crf.constraints import LabelConstraints, bio_constraints
from recur.nn.crf.linear_chain import Labelling, LinearChainCRF
from recur.nn.crf.spans import LabelledSpan

__all__ = ["LabelConstraints", "LabelledSpan", "Labelling", "LinearChainCRF", "bio_constraints"]
