"""The semantic layer: requests that mean the same, by sentence vectors, a fitted threshold and paraphrase checks."""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.cache.semantic.embedding import (
        CachingEmbedder as CachingEmbedder,
        Embedder as Embedder,
        PackagedMiniLm as PackagedMiniLm,
        SeeingEmbedder as SeeingEmbedder,
        SentenceTransformerEmbedder as SentenceTransformerEmbedder,
    )
    from costlab.cache.semantic.index import (
        EXACT_ENTRIES as EXACT_ENTRIES,
        ExactIndex as ExactIndex,
        HnswIndex as HnswIndex,
        Neighbour as Neighbour,
        RedisVectorIndex as RedisVectorIndex,
        VectorIndex as VectorIndex,
        local_index as local_index,
    )
    from costlab.cache.semantic.layer import (
        ConsideredNeighbour as ConsideredNeighbour,
        EmbeddingLayer as EmbeddingLayer,
        SemanticHit as SemanticHit,
        SemanticLayer as SemanticLayer,
        labelled_lookups as labelled_lookups,
    )
    from costlab.cache.semantic.paraphrase import (
        DEFAULT_CHECKS as DEFAULT_CHECKS,
        STRICT_CHECKS as STRICT_CHECKS,
        ParaphraseCheck as ParaphraseCheck,
        named_terms as named_terms,
        near_copy as near_copy,
        refusal_reasons as refusal_reasons,
        unguarded_language as unguarded_language,
    )
    from costlab.cache.semantic.threshold import (
        THRESHOLD_GRID as THRESHOLD_GRID,
        GuaranteeCheck as GuaranteeCheck,
        Lookup as Lookup,
        ThresholdFit as ThresholdFit,
        ThresholdReport as ThresholdReport,
        TriedThreshold as TriedThreshold,
        check_guarantee as check_guarantee,
        evaluate_threshold as evaluate_threshold,
        fit_threshold as fit_threshold,
    )
else:
    __getattr__, __dir__ = lazy_package(__name__)
