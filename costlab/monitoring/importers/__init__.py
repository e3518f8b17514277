"""Usage logs that people already have, read into the columns of :class:`costlab.events.RequestEvent`.

CSV, Parquet and JSON with a mapping of columns, spend logs of LiteLLM, and OpenTelemetry spans of generative AI. DuckDB
reads the files, so that a log need not fit into memory.
"""

from costlab.monitoring.importers.files import FORMATS, UsageLog, open_gpu_hours, open_log
from costlab.monitoring.importers.spans import span_rows

__all__ = ["FORMATS", "UsageLog", "open_gpu_hours", "open_log", "span_rows"]
