"""The record of what was served and what it cost: append-only, shared by processes, safe against their death."""

from costlab.monitoring.ledger.ledger import Ledger
from costlab.monitoring.ledger.totals import LedgerTotals

__all__ = ["Ledger", "LedgerTotals"]
