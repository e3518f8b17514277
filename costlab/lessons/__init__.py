"""What the notebooks need beside the library: device banner, guesses, self-checks, claims, recordings."""

from costlab.lessons.claims import Claim, ClaimContradictedError, claim, claims, claims_table
from costlab.lessons.exercises import Checked, check
from costlab.lessons.printed import banner, recorded, reveal

__all__ = [
    "Checked",
    "Claim",
    "ClaimContradictedError",
    "banner",
    "check",
    "claim",
    "claims",
    "claims_table",
    "recorded",
    "reveal",
]
