"""What ``costlab bench`` measures and records, and what lessons use of it.

``costlab/experiments/registry.py`` says how to add an experiment.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.experiments.answers import (
        RecordedTiers as RecordedTiers,
        measure_answers as measure_answers,
        recorded_tiers as recorded_tiers,
    )
    from costlab.experiments.combined import (
        COMBINED as COMBINED,
        combined_study as combined_study,
        combined_variants as combined_variants,
    )
    from costlab.experiments.decode import (
        DECODE_SCHEMES as DECODE_SCHEMES,
        DecodeResult as DecodeResult,
        DecodeRow as DecodeRow,
        decode_study as decode_study,
    )
    from costlab.experiments.device import measure_device as measure_device
    from costlab.experiments.distillation import (
        ARMS as ARMS,
        DistillationCost as DistillationCost,
        DistillationResult as DistillationResult,
        DistillationRow as DistillationRow,
        distillation_study as distillation_study,
    )
    from costlab.experiments.engine import (
        engine_rows as engine_rows,
        if_engine as if_engine,
        measure_engine as measure_engine,
    )
    from costlab.experiments.live import LiveDecode as LiveDecode, LiveStep as LiveStep, live_decode as live_decode
    from costlab.experiments.llama_server import LlamaServer as LlamaServer, StartStage as StartStage
    from costlab.experiments.pruning import (
        bytes_by_zeros as bytes_by_zeros,
        pruning_study as pruning_study,
        pruning_variants as pruning_variants,
        quality_by_zeros as quality_by_zeros,
    )
    from costlab.experiments.quantization import (
        quantization_study as quantization_study,
        quantization_variants as quantization_variants,
    )
    from costlab.experiments.recording_checks import (
        RecordingFault as RecordingFault,
        check_recordings as check_recordings,
    )
    from costlab.experiments.registry import (
        EXPERIMENTS as EXPERIMENTS,
        Experiment as Experiment,
        Option as Option,
        find_experiment as find_experiment,
    )
    from costlab.experiments.semantic import (
        CHECK_SETS as CHECK_SETS,
        check_rows as check_rows,
        intent_lookups as intent_lookups,
        measure_semantic as measure_semantic,
        support_lookups as support_lookups,
    )
    from costlab.experiments.serving import (
        PrefixRow as PrefixRow,
        ServingResult as ServingResult,
        ServingRow as ServingRow,
        SpeculationRow as SpeculationRow,
        serving_study as serving_study,
    )
    from costlab.experiments.sparse import (
        SPARSE_KINDS as SPARSE_KINDS,
        SparseResult as SparseResult,
        SparseRow as SparseRow,
        sparse_study as sparse_study,
    )
    from costlab.experiments.tiers import (
        LESSON_USD_PER_REQUEST as LESSON_USD_PER_REQUEST,
        LabelledQueries as LabelledQueries,
        cheapest_matching_last as cheapest_matching_last,
        fit_tiers as fit_tiers,
        guarantees as guarantees,
        measure_tiers as measure_tiers,
        seconds_per_query as seconds_per_query,
        tier_outcomes as tier_outcomes,
    )
    from costlab.experiments.tokenizers import (
        measure_tokenizers as measure_tokenizers,
        recorded_tokenizers as recorded_tokenizers,
        tokenizer_texts as tokenizer_texts,
    )
    from costlab.experiments.traffic import (
        TrafficFit as TrafficFit,
        fit_trace as fit_trace,
        measure_traffic as measure_traffic,
        recorded_traffic as recorded_traffic,
    )
else:
    __getattr__, __dir__ = lazy_package(__name__)
