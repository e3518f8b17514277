"""From GPU-hours to money: monthly bills, commitments, spot.

Pure functions: no clock, no files beyond the catalogue's own rows, no random numbers.
"""

from costlab.calculator.billing import (
    Commitment,
    CommitmentBill,
    MonthlyCost,
    best_commitment,
    commitment_bill,
    commitment_break_even,
    cost_per_request,
    monthly_cost,
    saving_fraction,
    usd_per_useful_hour,
)
from costlab.calculator.spot import SpotJob, SpotVerdict, checkpoint_interval_s, may_use_spot, spot_job

__all__ = [
    "Commitment",
    "CommitmentBill",
    "MonthlyCost",
    "SpotJob",
    "SpotVerdict",
    "best_commitment",
    "checkpoint_interval_s",
    "commitment_bill",
    "commitment_break_even",
    "cost_per_request",
    "may_use_spot",
    "monthly_cost",
    "saving_fraction",
    "spot_job",
    "usd_per_useful_hour",
]
