"""Words of English that decide what is asked for: the tables of :mod:`costlab.cache.guards`."""

import re
from typing import Final

__all__ = ["FILLERS", "NEGATIONS", "NUMBER_WORDS", "OPPOSITES", "PHRASES", "UNITS"]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


NEGATIONS: Final = _set(
    "not no never none nobody nothing nowhere neither nor without cannot dont cant wont isnt doesnt didnt wasnt arent "
    "havent hasnt wouldnt shouldnt couldnt"
)

NUMBER_WORDS: Final = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
    "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18,
    "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "ninety": 90, "hundred": 100,
    "thousand": 1000, "twice": 2,
}  # fmt: skip

UNITS: Final = {
    word: unit
    for unit, words in {
        "GB": "gb gig gigs gigabyte gigabytes", "TB": "tb tera terabyte terabytes", "MB": "mb megs megabyte megabytes",
        "day": "day days daily", "week": "week weeks weekly fortnight", "month": "month months monthly",
        "year": "year years yearly annual annually", "hour": "hour hours hourly", "minute": "minute minutes",
        "USD": "$ dollar dollars usd bucks", "EUR": "€ euro euros eur", "GBP": "£ pound pounds gbp",
        "percent": "% percent",
    }.items()
    for word in words.split()
}  # fmt: skip

#: Words that decide, in opposite ways, what is asked for.
OPPOSITES: Final = tuple(
    (_set(one), _set(other))
    for one, other in (
        ("enable enabled enabling activate activated", "disable disabled disabling deactivate deactivated"),
        ("start started starting begin began", "stop stopped stopping end ended quit"),
        ("add added adding", "remove removed removing delete deleted drop dropped"),
        ("open opened opening reopen", "close closed closing"),
        ("lock locked", "unlock unlocked"),
        ("before until prior ahead", "after since following past"),
        ("upgrade upgraded upgrading", "downgrade downgraded downgrading"),
        ("more increase increased raise raised bigger larger", "less fewer decrease decreased lower smaller reduce"),
        ("send sent sending give gave", "receive received receiving take took"),
        ("allow allowed", "block blocked forbid forbidden deny denied"),
        ("show showing shown", "hide hiding hidden"),
        ("join joined joining", "leave left leaving"),
        ("pause paused pausing suspend suspended", "resume resumed resuming unpause continue"),
        ("restore restored recover recovered keep keeping undelete", "delete deleted erase erased discard"),
        ("upload uploaded uploading", "download downloaded downloading"),
        ("import imported", "export exported"),
        ("monthly month", "yearly annual annually year"),
        ("online", "offline"),
        ("public shared", "private"),
        ("edit edits editing change changing", "view viewing read reading look looking"),
        ("buy bought purchase", "sell sold refund"),
        ("deposit deposited", "withdraw withdrew withdrawal"),
        ("accepted approved", "declined rejected refused"),
        ("credit", "debit"),
        ("domestic", "international"),
        ("incoming", "outgoing"),
        ("old older oldest previous former", "new newer newest latest"),
        ("first", "last second"),
        ("early earlier", "late later"),
        ("all every everyone everywhere everything", "one only single"),
        ("yesterday", "tomorrow"),
        ("lost forgot forgotten", "found know remember"),
        ("minimum", "maximum"),
        ("success successful worked", "failure failed error"),
    )
)

#: Opposites whose words are too common alone: "on my phone" turns nothing on.
PHRASES: Final = (
    (
        re.compile(r"\b(?:turn|switch|put|set)\w*(?:\W+(?!on\b|off\b)\w+){0,3}?\W+on\b|\bback on\b"),
        re.compile(r"\b(?:turn|switch|put|set)\w*(?:\W+(?!on\b|off\b)\w+){0,3}?\W+off\b|\bget rid of\b"),
    ),
    (
        re.compile(r"\b(?:sign|log)\w*(?:\W+(?!in\b|out\b)\w+){0,2}?\W+in\b"),
        re.compile(r"\b(?:sign|log)\w*(?:\W+(?!in\b|out\b)\w+){0,2}?\W+out\b"),
    ),
    (re.compile(r"\bmove\w*(?:\W+\w+){0,3}?\W+(?:in|into)\b"), re.compile(r"\bmove\w*(?:\W+\w+){0,3}?\W+out\b")),
)

#: Words of which one may stand for another, or be left out, without a change of meaning.
FILLERS: Final = _set(
    "a an the i me my mine we us our you your it its this that these those is are was were be been am do does did done "
    "to of in on at for with and or but so how what where when why which who can could may might shall should will "
    "would please pls plz thanks thank thx hi hello hey good morning quick question just also there here some any get "
    "got have has had want need like help ok sorry if from by as now then"
)
