"""Labelled queries and request traces: one set shipped with the package, three loaded from where they are published.

``support_queries`` was written for this book and is always there. ``clinc150``, ``banking77`` and ``azure_llm_trace``
are fetched once and kept, or read from the folder in ``COSTLAB_DATA_DIR``; their checksums are verified either way.
"""

from costlab.datasets.public import IntentQueries, IntentQuery, LlmTrace, azure_llm_trace, banking77, clinc150
from costlab.datasets.support import (
    OUT_OF_SCOPE,
    SPLITS,
    QueryPair,
    SupportIntent,
    SupportQueries,
    SupportQuery,
    support_queries,
)

__all__ = [
    "OUT_OF_SCOPE",
    "SPLITS",
    "IntentQueries",
    "IntentQuery",
    "LlmTrace",
    "QueryPair",
    "SupportIntent",
    "SupportQueries",
    "SupportQuery",
    "azure_llm_trace",
    "banking77",
    "clinc150",
    "support_queries",
]
