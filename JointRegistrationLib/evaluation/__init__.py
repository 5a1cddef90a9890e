"""Evaluation on pairs with label maps: what is registered, how it is scored, and the table it ends in."""

from .methods import NO_REGISTRATION, Method, parse_methods
from .pairs import EvaluationPair, label_values, read_pairs
from .run import evaluate, pending, score_labels
from .table import ResultTable, summary, table_for_one

__all__ = [
    "NO_REGISTRATION",
    "EvaluationPair",
    "Method",
    "ResultTable",
    "evaluate",
    "label_values",
    "parse_methods",
    "pending",
    "read_pairs",
    "score_labels",
    "summary",
    "table_for_one",
]
