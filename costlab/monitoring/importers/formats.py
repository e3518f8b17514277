"""The formats of logs that can be read, in the order in which they are tried."""

from __future__ import annotations

from typing import Final

from costlab.monitoring.importers.bedrock import BEDROCK_FORMAT
from costlab.monitoring.importers.columns import COLUMNS_FORMAT
from costlab.monitoring.importers.focus import FOCUS_FORMAT
from costlab.monitoring.importers.gateways import HELICONE_FORMAT, LANGFUSE_FORMAT, OPENROUTER_FORMAT
from costlab.monitoring.importers.litellm import LITELLM_FORMAT
from costlab.monitoring.importers.otel import OTEL_FORMAT
from costlab.monitoring.importers.protocol import LogFormat
from costlab.monitoring.importers.provider_reports import ANTHROPIC_FORMAT, OPENAI_FORMAT
from costlab.monitoring.importers.sessions import CLAUDE_CODE_FORMAT, CODEX_FORMAT

#: By name. The first that looks like the files reads them; sessions come first, since anything may be said in them, and
#: own columns last, since they take what is left.
LOG_FORMATS: Final[dict[str, LogFormat]] = {
    one.name: one
    for one in (
        CLAUDE_CODE_FORMAT,
        CODEX_FORMAT,
        BEDROCK_FORMAT,
        OTEL_FORMAT,
        OPENAI_FORMAT,
        ANTHROPIC_FORMAT,
        LITELLM_FORMAT,
        LANGFUSE_FORMAT,
        OPENROUTER_FORMAT,
        HELICONE_FORMAT,
        FOCUS_FORMAT,
        COLUMNS_FORMAT,
    )
}

#: Their names.
FORMATS: Final = tuple(LOG_FORMATS)
