"""Usage logs that people already have, read into the columns of :class:`costlab.events.RequestEvent`.

:func:`open_log` is the way in. DuckDB reads the files, so that a log need not fit into memory. A further format is a
module with a :class:`LogFormat`, entered in `formats`; `litellm` shows how one is made of columns that are converted
strictly. :func:`open_spark_log` reads own columns on Spark.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.monitoring.importers.conversion import duckdb_reason as duckdb_reason, select as select
    from costlab.monitoring.importers.formats import FORMATS as FORMATS
    from costlab.monitoring.importers.log_files import LogFiles as LogFiles
    from costlab.monitoring.importers.opening import (
        UsageLog as UsageLog,
        open_gpu_hours as open_gpu_hours,
        open_log as open_log,
    )
    from costlab.monitoring.importers.otel import span_rows as span_rows
    from costlab.monitoring.importers.protocol import (
        BadRow as BadRow,
        LogFormat as LogFormat,
        LogRows as LogRows,
        ReadCounts as ReadCounts,
    )
    from costlab.monitoring.importers.spark import (
        SparkLog as SparkLog,
        open_spark_log as open_spark_log,
        spark_errors as spark_errors,
        spark_session as spark_session,
    )
else:
    __getattr__, __dir__ = lazy_package(__name__)
