"""Labelled queries and request traces: one set shipped with the package, three loaded from where they are published.

``support_queries`` was written for this book and is always there. ``clinc150``, ``banking77`` and ``azure_llm_trace``
are fetched once and kept, or read from the folder in ``COSTLAB_DATA_DIR``; their checksums are verified either way.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.datasets.public import (
        IntentQueries as IntentQueries,
        IntentQuery as IntentQuery,
        LlmTrace as LlmTrace,
        azure_llm_trace as azure_llm_trace,
        banking77 as banking77,
        clinc150 as clinc150,
    )
    from costlab.datasets.support import (
        OUT_OF_SCOPE as OUT_OF_SCOPE,
        SPLITS as SPLITS,
        QueryPair as QueryPair,
        SupportIntent as SupportIntent,
        SupportQueries as SupportQueries,
        SupportQuery as SupportQuery,
        support_queries as support_queries,
    )
else:
    __getattr__, __dir__ = lazy_package(__name__)
