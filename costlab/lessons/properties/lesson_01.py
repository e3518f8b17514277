"""Exercises of lesson 1 with many right answers."""

from costlab.calculator import best_commitment

_HOURS, _MOST, _ON_DEMAND, _COMMITTED = 24, 100, 1.01, 0.63


def exercise_1_4(answer: object) -> str | None:
    """A day on which a commitment to the mean demand costs more than none."""
    if not isinstance(answer, list | tuple) or len(answer) != _HOURS:
        return "Give a list with the GPUs needed in each of 24 hours."
    day = [float(wanted) for wanted in answer]
    if any(wanted != int(wanted) or not 0 <= wanted <= _MOST for wanted in day):
        return "Each hour needs a whole number of GPUs; give whole numbers from 0 to 100."
    if not any(day):
        return "This day needs nothing, so there is nothing to commit to."
    mean = round(sum(day) / _HOURS)
    found = best_commitment(day, _ON_DEMAND, _COMMITTED, gpus=mean)
    if found.usd > found.on_demand_usd:
        return None
    return (
        f"The mean is {mean} GPUs: committing to them costs {found.usd:,.2f} dollars a day, and committing to none "
        f"{found.on_demand_usd:,.2f}, so the rule still saves. In how many hours is a GPU of the mean really used?"
    )
