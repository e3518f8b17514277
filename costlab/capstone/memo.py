"""The one-page memo in which a plan is put before those who decide: figures filled in, judgement left to the writer."""

from costlab.capstone.results import Score

__all__ = ["memo"]


def memo(score: Score) -> str:
    """A decision memo in Markdown, with a plan's figures; what only its author knows is left as a line of dots.

    Parameters
    ----------
    score : Score
        From :func:`costlab.capstone.score`.

    Returns
    -------
    str
        One page. It says in its first line when the plan breaks a limit.
    """
    breaks = "; ".join(score.violations)
    state = f"**Not ready: it breaks a limit.** {breaks}" if breaks else "It keeps every limit."
    rows = [
        f"| {one.name} | {one.usd_per_month:,.0f} | {one.quality_fraction:.1%} | {one.quality_floor:.1%} "
        f"| {one.latency_s:,.2f} | {one.latency_limit_s:,.1f} |"
        for one in score.endpoints
    ]
    parts = [f"{name} {score.parts_usd[name]:,.0f}" for name in ("gpus", "people", "runaway")]
    gpus = [f"{name}: {max(bill.gpus_per_hour)} GPUs at most" for name, bill in score.fleets.items()]
    return "\n".join(
        [
            "**Decision memo: the bill for AI**",
            "",
            f"**Proposal.** From {score.today_usd_per_month:,.0f} to {score.usd_per_month:,.0f} USD a month, "
            f"{score.saving_fraction:.0%} less; {score.budget_usd_per_month:,.0f} are allowed. {state}",
            "",
            "**What changes** (one line each, dearest first): …",
            "",
            "| endpoint | USD a month | quality | floor | p95 latency, s | limit, s |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            f"Beside them, in USD a month: {', '.join(parts)}. {'; '.join(gpus) or 'No GPUs of our own'}.",
            "",
            f"**The worst day** costs {score.runaway_day_usd:,.0f} USD; {score.refused_fraction:.2%} of the ordinary "
            "requests are refused.",
            "",
            "**What we measured, and what we took from somebody else's table:** …",
            "",
            "**What would make this wrong** (a price, a volume, a quality that does not hold), and at which value: …",
            "",
            "**How we shall notice,** within which time, and who is called: …",
            "",
            "**How we go back,** what that costs, and until when we can: …",
            "",
            "**Decided by** … **on** …",
            "",
        ]
    )
