"""What an AI service spends while it runs: ledger, usage, metrics, alerts and reports.

A :class:`Ledger` takes what was served; :func:`aggregate`, :func:`key_metrics` and :func:`build_report` count it, or a
log that :func:`open_log` reads; :class:`RequestMetrics` shows it to Prometheus, and :func:`alert_rules` say when to
wake someone. What guards a budget is in :mod:`costlab.monitoring.budget`.
Where an optional library is missing, a :class:`~costlab.errors.MissingExtraError` says how to install it.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.monitoring.alerts import (
        AlertRule as AlertRule,
        Incident as Incident,
        RecordingRule as RecordingRule,
        State as State,
        Timeline as Timeline,
        alert_rules as alert_rules,
        gpu_timelines as gpu_timelines,
        incidents as incidents,
        recording_rules as recording_rules,
        request_timelines as request_timelines,
        states as states,
    )
    from costlab.monitoring.discounts_file import (
        DiscountFileError as DiscountFileError,
        load_discounts as load_discounts,
        parse_discounts as parse_discounts,
    )
    from costlab.monitoring.engine_metrics import (
        EngineCost as EngineCost,
        EngineMetricsError as EngineMetricsError,
        EngineTokens as EngineTokens,
        engine_cost as engine_cost,
        engine_tokens as engine_tokens,
    )
    from costlab.monitoring.export import (
        Panel as Panel,
        dashboard_json as dashboard_json,
        export_files as export_files,
        panels as panels,
        prometheus_rules as prometheus_rules,
        rule_tests as rule_tests,
    )
    from costlab.monitoring.focus import (
        FOCUS_COLUMNS as FOCUS_COLUMNS,
        CommitmentsFileError as CommitmentsFileError,
        GpuCommitment as GpuCommitment,
        focus_table as focus_table,
        load_commitments as load_commitments,
        write_focus as write_focus,
    )
    from costlab.monitoring.gpu_hours import GPU_COLUMNS as GPU_COLUMNS, GpuUsage as GpuUsage, gpu_usage as gpu_usage
    from costlab.monitoring.gpu_metrics import (
        GpuMetrics as GpuMetrics,
        GpuReading as GpuReading,
        GpuReadingError as GpuReadingError,
        dcgm_readings as dcgm_readings,
        nvml_readings as nvml_readings,
    )
    from costlab.monitoring.importers import (
        FORMATS as FORMATS,
        BadRow as BadRow,
        ReadCounts as ReadCounts,
        SparkLog as SparkLog,
        UsageLog as UsageLog,
        open_gpu_hours as open_gpu_hours,
        open_log as open_log,
        open_spark_log as open_spark_log,
        span_rows as span_rows,
        spark_errors as spark_errors,
        spark_session as spark_session,
    )
    from costlab.monitoring.keymetrics import KeyMetrics as KeyMetrics, key_metrics as key_metrics
    from costlab.monitoring.ledger import Ledger as Ledger, LedgerTotals as LedgerTotals
    from costlab.monitoring.metrics import (
        LedgerFollower as LedgerFollower,
        OtelMetrics as OtelMetrics,
        RequestMetrics as RequestMetrics,
    )
    from costlab.monitoring.pricing import (
        Assumption as Assumption,
        PriceChange as PriceChange,
        PricedLog as PricedLog,
        Pricing as Pricing,
        UnpricedModel as UnpricedModel,
        fill_costs as fill_costs,
    )
    from costlab.monitoring.report import (
        Report as Report,
        Saving as Saving,
        build_report as build_report,
        report_html as report_html,
        report_lines as report_lines,
    )
    from costlab.monitoring.usage import (
        DEFAULTS as DEFAULTS,
        GROUPS as GROUPS,
        REQUIRED as REQUIRED,
        UsageTotals as UsageTotals,
        aggregate as aggregate,
        event_frame as event_frame,
        roll_up as roll_up,
    )
else:
    __getattr__, __dir__ = lazy_package(__name__)
