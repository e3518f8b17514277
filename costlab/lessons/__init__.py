"""What the notebooks need beside the library: device banner, guesses, self-checks, quizzes, claims, recordings."""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.lessons.claims_ledger import (
        Claim as Claim,
        ClaimContradictedError as ClaimContradictedError,
        claim as claim,
        claims as claims,
        claims_table as claims_table,
    )
    from costlab.lessons.exercises import Checked as Checked, check as check
    from costlab.lessons.printed import banner as banner, recorded as recorded, reveal as reveal
    from costlab.lessons.questions import Choice as Choice, Question as Question, Quiz as Quiz, quiz as quiz
    from costlab.lessons.shown_tables import ShownTable as ShownTable, table as table
else:
    __getattr__, __dir__ = lazy_package(__name__)
