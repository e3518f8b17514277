"""What sentence vectors confuse: negation, opposites, numbers, names, order, direction.

A paraphrase check compares two texts and returns the reason why they must not share an answer, or None. Checks are
pure, know English, and err on the safe side: a hit that they refuse costs a call, one that they miss a wrong answer.
What is not known to be English they cannot guard, and :func:`unguarded_language` refuses it.
"""

from __future__ import annotations

import re
import unicodedata
from difflib import SequenceMatcher
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence, Set

#: Compares two texts and gives the reason why they must not share an answer, or None.
ParaphraseCheck: TypeAlias = "Callable[[str, str], str | None]"


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


NEGATIONS: Final = _set(
    "not no never none nobody nothing nowhere neither nor without cannot dont cant wont isnt doesnt didnt wasnt arent "
    "havent hasnt wouldnt shouldnt couldnt"
)

NUMBER_WORDS: Final = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
    "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18,
    "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80,
    "ninety": 90, "hundred": 100, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12, "twice": 2,
}  # fmt: skip

UNITS: Final = {
    word: unit
    for unit, words in {
        "GB": "gb gig gigs gigabyte gigabytes", "TB": "tb tera terabyte terabytes", "MB": "mb megs megabyte megabytes",
        "day": "day days daily", "week": "week weeks weekly fortnight", "month": "month months monthly",
        "year": "year years yearly annual annually", "hour": "hour hours hourly", "minute": "minute minutes",
        "s": "sec secs seconds", "ms": "ms millisecond milliseconds", "KB": "kb kilobyte kilobytes",
        "km": "km kilometre kilometres kilometer kilometers", "mile": "mile miles", "cm": "cm", "mm": "mm",
        "kg": "kg", "mg": "mg", "lb": "lb lbs", "Celsius": "celsius", "Fahrenheit": "fahrenheit",
        "USD": "$ dollar dollars usd bucks", "EUR": "€ euro euros eur", "GBP": "£ pound pounds gbp",
        "percent": "% percent",
    }.items()
    for word in words.split()
}  # fmt: skip

#: What is a unit right after a number: a letter, though not ``a`` and ``i``, which are words; and a half of the day.
_AFTER_A_NUMBER: Final = {
    **{letter: letter for letter in "bcdfghjklmnpqrstvwxyz"}, "d": "day", "h": "hour", "am": "am", "pm": "pm",
}  # fmt: skip

#: Words that decide, in opposite ways, what is asked for.
_OPPOSITE_WORDS: Final = """
    enable enabled enabling activate activated | disable disabled disabling deactivate deactivated;
    start started starting begin began | stop stopped stopping end ended quit;
    add added adding | remove removed removing delete deleted drop dropped;
    open opened opening reopen | close closed closing; lock locked | unlock unlocked;
    before until prior ahead | after since following past;
    upgrade upgraded upgrading | downgrade downgraded downgrading;
    more increase increased raise raised bigger larger | less fewer decrease decreased lower smaller reduce;
    send sent sending give gave | receive received receiving take took;
    allow allowed | block blocked forbid forbidden deny denied; show showing shown | hide hiding hidden;
    join joined joining | leave left leaving;
    pause paused pausing suspend suspended | resume resumed resuming unpause continue;
    restore restored recover recovered keep keeping undelete | delete deleted erase erased discard;
    upload uploaded uploading | download downloaded downloading; import imported | export exported;
    monthly month | yearly annual annually year; online | offline; public shared | private;
    edit edits editing change changing | view viewing read reading look looking;
    buy bought purchase | sell sold refund; deposit deposited | withdraw withdrew withdrawal;
    accepted approved | declined rejected refused; credit | debit; domestic | international; incoming | outgoing;
    old older oldest previous former | new newer newest latest; first | last second; early earlier | late later;
    all every everyone everywhere everything | one only single; yesterday | tomorrow;
    lost forgot forgotten | found know remember; minimum | maximum;
    success successful worked | failure failed error;
    plus | minus; times multiplied multiply | divided divide; greater above | below under;
    ascending | descending; horizontal horizontally | vertical vertically; north northern | south southern;
    east eastern | west western; encrypt encrypted encrypting | decrypt decrypted decrypting;
    encode encoded encoding | decode decoded decoding; input inputs | output outputs;
    mother mum mom | father dad; brother | sister; uncle | aunt;
    true | false; positive | negative; fastest quickest | slowest; cheapest | dearest; best | worst;
    grant granted granting | revoke revoked revoking; expand expanded expanding | collapse collapsed collapsing;
    include includes included including | exclude excludes excluded excluding; adult adults | child children;
    clockwise | counterclockwise anticlockwise; always often usually | rarely seldom hardly;
    accept accepts accepting | decline reject
"""
OPPOSITES: Final = [[_set(words) for words in pair.split("|")] for pair in _OPPOSITE_WORDS.split(";")]

#: What makes a word its own opposite: subscribe and unsubscribe. The rest has so many letters at
#: least, or ``into`` would be no ``to``.
_REVERSALS: Final = ("un", "dis", "de", "in", "im", "il", "ir", "non", "anti")
_LEAST_REVERSED: Final = 4
#: Words that begin so and are no opposites of the rest.
_NOT_REVERSED: Final = _set("unless until unmake inform informed invoice depart income impress impart dispatch display")

#: Opposites whose words are too common alone: "on my phone" turns nothing on.
PHRASES: Final = (
    (
        re.compile(r"\b(?:turn|switch|put|set)\w*(?:\W+(?!on\b|off\b)\w+){0,3}?\W+on\b|\bback on\b"),
        re.compile(r"\b(?:turn|switch|put|set)\w*(?:\W+(?!on\b|off\b)\w+){0,3}?\W+off\b|\bget rid of\b"),
    ),
    (
        re.compile(r"\b(?:sign|log|zoom)\w*(?:\W+(?!in\b|out\b)\w+){0,2}?\W+in\b"),
        re.compile(r"\b(?:sign|log|zoom)\w*(?:\W+(?!in\b|out\b)\w+){0,2}?\W+out\b"),
    ),
    (
        re.compile(r"\b(?:turn\w*|swip\w*|(?:to|on) the)\W+left\b"),
        re.compile(r"\b(?:turn\w*|swip\w*|(?:to|on) the)\W+right\b"),
    ),
    (
        re.compile(r"\b(?:scal|scroll)\w*(?:\W+(?!down\b)\w+){0,3}?\W+up\b|\b(?:is|are)(?:\W+\w+){1,3}\W+up\W*$"),
        re.compile(r"\b(?:scal|scroll)\w*(?:\W+(?!up\b)\w+){0,3}?\W+down\b|\b(?:is|are)(?:\W+\w+){1,3}\W+down\W*$"),
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

_WORD: Final = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)?|[$€£%]")

#: Words that show a text to be English: frequent, and no frequent words of other languages in Latin letters. So ``was``
#: (German), ``is`` (Dutch), ``for`` (Danish), ``to`` (Polish) and ``has`` (Spanish) are not among them.
ENGLISH: Final = _set(
    "the how what where when which who why whose my mine your yours you it its it's our ours they them their theirs "
    "this that these those there here with without from into about after before and if than because while until does "
    "did doing are were been being have having can could should would must not don't doesn't didn't can't cannot "
    "isn't aren't wasn't weren't won't wouldn't couldn't shouldn't haven't hasn't hadn't i'm i've i'd i'll you're "
    "you've that's there's what's it'll we're we've let's dont cant wont isnt doesnt didnt wasnt arent havent hasnt "
    "ive youre thats theres whats hows im please pls plz thanks thank thx hello hey some any every each only just "
    "still again already instead back off out up down need get got getting make made give gave take took keep kept "
    "tell told know think find found show see look want wants wanted going gone went came turn used using says said "
    "something anything everything nothing someone anyone everyone nobody never always much many more less few other "
    "another same both between through during very really too also ago almost amount answer anyway annual anybody ask "
    "asked asking better bill billing bought buy buying change changed changing charge charged charging choose chosen "
    "closed days deleted deleting different earlier enough enter entered fail failed family forever forgot forgotten "
    "full further given half happen happened happens hear heard hidden hide history hundred increase item keeps last "
    "leave leaving left let like little long longer looking lose losing lost mean means meant might missing money "
    "month months monthly move moved moving needed needs next none noticed number old others own paid pay paying "
    "payment people person phone possible price prices question questions quick rather read reason received recover "
    "recovery refund remove removed removing renew request requests restore restored right send sending sent several "
    "share shared sharing showing since single six small somebody sometimes sorry soon stay stolen stuck such "
    "suddenly taken taking ten thing things though thought three time times today together tomorrow trash trying "
    "turned twice two typed unable usage useful verification verify wait waiting way week weeks weekly whether whole "
    "wish wonder word words work worked working works worth wrong wrote year years yearly yesterday yet"
)

#: Words that show a text to be in another language: the most frequent ones of German, Dutch, Spanish, Portuguese,
#: French, Italian, Romanian, Polish, Czech, the Scandinavian languages, Finnish, Hungarian, Turkish, Indonesian and
#: Swahili, and of Hindi in Latin letters.
OTHER_LANGUAGES: Final = _set(
    "der die das den dem ein eine einen meine mein meinen meiner nicht kein keine ist sind wird werden wurde ich wir "
    "sie ihr mich mir und oder aber wie wo wann warum kann kannst mit ohne von zu zum zur auf aus bei nach vor noch "
    "schon bitte wieder het een mijn niet geen zijn worden ik wij jij hoe waar wanneer waarom kan met zonder naar el "
    "los las una uno mi mis tu su que como donde cuando quien por para con sin pero muy ya lo le se esta este puedo "
    "quiero tengo hay desde hasta os meu minha meus nao uma um com sem posso quero voce isso fazer da dos les un une "
    "des du mon ma mes ton sa ses ne pas je il elle nous vous est sont et ou mais comment quand pourquoi puis peux "
    "veux avec sans pour dans sur gli della del mio mia non sono che come dove perche voglio per mele nu sunt cum "
    "unde cand pentru cu nie jest jak gdzie kiedy dlaczego czy moge chce moj moja na po bez dla neni jsem kde kdy muj "
    "moje mohu att och inte jag min mitt hur var med utan ikke jeg hvordan hvor ei en olen miten missa minun nem van "
    "hogyan az egy ve bir bu nasil nerede degil icin benim ben yok saya tidak bagaimana yang dan untuk dengan ini itu "
    "apa bisa akun wa kwa ni si jinsi yangu mera meri mere kya kaise kab kahan nahi nahin hai hain ho karo kare karna "
    "karu ko ka ki ke aur"
)

#: Further words that English writes: they prove little, as other languages borrow many of them, but where a text has
#: hardly any other word it can be judged as English.
_FURTHER_ENGLISH: Final = _set(
    "access account accounts ad add address admin ai am android annual app apps archive area at automatic "
    "automatically backed backup backups balance bank bin box breakdown browser business buddy camera cancel "
    "cancelled cancelling card cards cash cent centre change charges chat check client cloud code codes colleague "
    "colleagues company complete computer confirm confirmation connection contact content copies copy cost costs "
    "create created customer data date dead dear default delete device devices digital direct discount document "
    "documents download downloads downgrade drive duplicate edit email emails empty enter error exceed exceeds "
    "expired export extra failed family fast faster fee file files final fine folder folders free frozen full "
    "generate google group guest guests hacked home husband husbands icon id image images import inbox increase info "
    "install invite invoice invoices ios ipad iphone item key keyboard language laptop large law leaver length "
    "licence licences license limit limits link links linux list local location lock log login logins mac mail manage "
    "manager maximum max member members message min mobile music name names network normal notification notifications "
    "number office offline online order owner page partner party passcode passphrase password passwords pause pdf "
    "pending people per permission person personal phone photo photos picture pictures pin plan plans plus policy "
    "portal previous price primary privacy private problem profile public purchase quality rate recent recycle region "
    "reject rejected remote rename report reset resume retrieval sample save scan screen search seat seats second "
    "secondary secure security selective server service set setting settings setup share sheet side sign site size "
    "slow slowly smart soft software space speak speed standard start state status stop storage student subject "
    "subscription support switch sync syncing system tab tablet tag task tax team teams test text ticket time to top "
    "total trace traffic transaction transfer transfers translate trial type unlimited unpause update updates upgrade "
    "upload uploading uploads user users validate vault version versions video videos view visa voucher watch weather "
    "web website wifi window windows worker zip zone good morning saturday"
)

#: Share of the words of two texts that have to be such words, where nothing else tells the language.
MIN_KNOWN_WORDS_FRACTION: Final = 0.75

#: Words with accents that English writes too.
ACCENTED_ENGLISH: Final = _set("café cafés résumé résumés naïve fiancé fiancée déjà à la voilà cliché exposé")

#: Of the letters of a text, at most this share may be in another script, as a quoted word is.
MAX_OTHER_SCRIPT_FRACTION: Final = 0.1

#: A number that is another one as a version.
_TENTH: Final = re.compile(r"\d+\.\d0")
#: What decides in a command or in code, and is seen by no sentence vector: options, paths, escapes, denials, indices.
_CODE: Final = re.compile(
    r"(?<!\S)--?[^\W\d_][\w-]*|(?<!\S)(?:~|\.{1,2})?/[\w./-]*\w|\\\S|(?<![\w!?.])!(?=[\w(])|(?<=\w)[\[{]"
)
#: Signs that are said in words, between numbers.
_SAID: Final = {"plus": "+", "minus": "-", "times": "*"}
#: Without any of these an ASCII text has no sign: most have none, and are not looked through.
_MARKS: Final = (*"+-*/=<>^|~#:!\\[{", *_SAID)
_SIGN: Final = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)?|[^\w\s]")
_DASHES: Final = dict.fromkeys([*range(0x2010, 0x2016), 0x2212], "-")
#: Signs that mean something wherever they are; and those that are punctuation except between two operands.
_ALWAYS: Final = frozenset("+=<>≤≥≠±×÷√∑∞^|~#")  # noqa: RUF001
_BETWEEN: Final = frozenset("-*/:·")
_BRACKETS: Final = frozenset("()[]{}")

_DIRECTION: Final = re.compile(r"\b(from|to|into)\s+(?:(?:the|my|a|an|our|your)\s+)?([\w.]+)")


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower().replace("’", "'"))  # noqa: RUF001 (a typographic apostrophe is meant)


def _against(what: str, a: Iterable[str], b: Iterable[str]) -> str:
    return f"{what}: {' '.join(sorted(a)) or 'none'} against {' '.join(sorted(b)) or 'none'}"


def _unlike(what: str, a: Set[str], b: Set[str]) -> str | None:
    return None if a == b else _against(what, a, b)


def different_negation(a: str, b: str) -> str | None:
    """Whether one text says no more often than the other.

    Examples
    --------
    >>> different_negation("my card is not accepted", "my card is accepted")
    'negations differ: 1 against 0'
    >>> different_negation("I can't log in", "cannot log in") is None
    True
    """
    counts = [sum(word in NEGATIONS or word.endswith("n't") for word in _words(text)) for text in (a, b)]
    return None if counts[0] == counts[1] else f"negations differ: {counts[0]} against {counts[1]}"


def different_numbers(a: str, b: str) -> str | None:
    """Whether the texts name different numbers, in figures or in words.

    ``one`` is no number here: it stands for a thing too often. Version 1.10 is not version 1.1; of an amount with a
    unit both are the same.

    Examples
    --------
    >>> different_numbers("add 100 GB", "add 1 TB")
    'numbers differ: 100 against 1'
    >>> different_numbers("a trial of 14 days", "a trial of fourteen days") is None
    True
    """
    numbers = [{f"{n:g}" for word in _words(text) if (n := _number(word)) is not None} for text in (a, b)]
    if numbers[0] == numbers[1] and not (_units(a) or _units(b)):
        numbers = [{word for word in _words(text) if _TENTH.fullmatch(word)} for text in (a, b)]
    return _unlike("numbers differ", *numbers)


def _number(word: str) -> float | None:
    if not word[0].isdigit():
        return NUMBER_WORDS.get(word)
    # 1,000.50 and 1.000,50 are written for the same; a point or comma before three figures parts thousands.
    plain = re.sub(r"[.,](?=\d{3}\b)", "", word).replace(",", ".")
    return float(plain) if plain.count(".") <= 1 else float(plain.replace(".", ""))


def different_units(a: str, b: str) -> str | None:
    """Whether the texts name different units: gigabytes and terabytes, months and years, dollars and euros.

    A single letter is a unit right after a number, as are am and pm.

    Examples
    --------
    >>> different_units("can I pay monthly", "can I pay yearly")
    'units differ: month against year'
    >>> different_units("a screw of 5 mm", "a screw of 5 m")
    'units differ: mm against m'
    """
    return _unlike("units differ", _units(a), _units(b))


def _units(text: str) -> set[str]:
    words = _words(text)
    after = {_AFTER_A_NUMBER.get(word) for number, word in pairwise(words) if number[0].isdigit()}
    return {UNITS[word] for word in words if word in UNITS} | {unit for unit in after if unit is not None}


def opposite_words(a: str, b: str) -> str | None:
    """Whether one text has a word, and the other only its opposite: enable and disable, before and after, on and off.

    Examples
    --------
    >>> opposite_words("How do I turn photo backup on on my phone?", "How do I turn photo backup off on my phone?")
    'opposites: turn photo backup on against turn photo backup off'
    >>> opposite_words("cancelled before the trial ended", "cancelled after the trial ended")
    'opposites: before against after'
    """
    words_a, words_b = ({word.removesuffix("'s") for word in _words(text)} for text in (a, b))
    for word, rest in _reversed(words_a, words_b):
        return _against("opposites", [word], [rest])
    for word, rest in _reversed(words_b, words_a):
        return _against("opposites", [rest], [word])
    for words, opposites in OPPOSITES:
        for first, second in ((words, opposites), (opposites, words)):
            if words_a & first and words_b & second and not words_a & second and not words_b & first:
                return _against("opposites", words_a & first, words_b & second)
    low_a, low_b = a.lower(), b.lower()
    for phrase, counter in PHRASES:
        for yes, no in ((phrase, counter), (counter, phrase)):
            hit_a, hit_b = yes.search(low_a), no.search(low_b)
            if hit_a and hit_b and not no.search(low_a) and not yes.search(low_b):
                return f"opposites: {hit_a[0]} against {hit_b[0]}"
    return None


def _reversed(one: Set[str], other: Set[str]) -> Iterator[tuple[str, str]]:
    """Words of one text of which the other has what is left without a prefix that turns them round."""
    for word in sorted(one - other - _NOT_REVERSED):
        for rest in (word.removeprefix(before) for before in _REVERSALS):
            kept = any(itself.startswith(rest) for itself in one)  # locked and unlock
            if rest != word and len(rest) >= _LEAST_REVERSED and rest in other and not kept:
                yield word, rest


def different_direction(a: str, b: str) -> str | None:
    """Whether what one text goes to, the other comes from.

    Examples
    --------
    >>> different_direction("move from Plus to Family", "move from Family to Plus")
    'directions differ: from plus against to plus'
    """
    in_a, in_b = (
        {("from" if way == "from" else "to", word) for way, word in _DIRECTION.findall(text.lower())} for text in (a, b)
    )
    for way, word in sorted(in_a):
        other = "to" if way == "from" else "from"
        if (other, word) in in_b and (way, word) not in in_b and (other, word) not in in_a:
            return f"directions differ: {way} {word} against {other} {word}"
    return None


def different_names(a: str, b: str) -> str | None:
    """Whether a name of one text, a word with a capital inside a sentence, is missing from the other.

    So is what a name with a number ends with.

    Examples
    --------
    >>> different_names("what does gpt-4o cost", "what does gpt-4o-mini cost")
    'names differ: none against mini'
    >>> different_names("Please let Anna edit the folder", "Please let Tom edit the folder")
    'names differ: anna against tom'
    >>> different_names("Does it work on iPhone?", "does it work on iphone") is None
    True
    """
    missing = [
        {name for name in _names(x) if not any(_same_word(name, word) for word in re.findall(r"[^\W_]+", y.lower()))}
        for x, y in ((a, b), (b, a))
    ]
    return _against("names differ", *missing) if missing[0] or missing[1] else None


#: What a name with a number in it ends with: the mini of gpt-4o-mini.
_SUFFIXES: Final = re.compile(r"(?<![^\W_])(?=[^\W_]*\d)[^\W_]+((?:-[^\W\d_]+)+)\b")


def _names(text: str) -> set[str]:
    names = re.findall(r"(?<![.!?:\n\"'(] )(?<!^)\b(?!I\b)(?=[^\W_]*[A-Z])[^\W_]+", text)
    names += [word for words in _SUFFIXES.findall(text) for word in words.split("-") if word]
    return set() if text.isupper() else {name.lower() for name in names}.difference(FILLERS, UNITS)


def different_signs(a: str, b: str) -> str | None:
    """Whether the texts have other signs, operators or pictures, or the same ones between other operands.

    Options of commands, paths, escapes, denials and indices in code are signs, too, and so are plus, minus and times
    between numbers. Sentence vectors hardly see them. A hyphen within a word, a dash between words and ordinary
    punctuation are no signs.

    Examples
    --------
    >>> different_signs("what is 12 + 7?", "what is 12 - 7?")
    'signs differ: 12 + 7 against 12 - 7'
    >>> different_signs("what does - 5 mean", "what does 5 mean")
    'signs differ: - 5 against none'
    >>> different_signs("what does git reset --soft do", "what does git reset --hard do")
    'signs differ: --soft against --hard'
    >>> different_signs("two-step sign-in - how?", "two step sign in: how?") is None
    True
    """
    in_a, in_b = _signs(a), _signs(b)
    return None if in_a == in_b else f"signs differ: {', '.join(in_a) or 'none'} against {', '.join(in_b) or 'none'}"


def _signs(text: str) -> list[str]:
    """Every sign of a text that means something, with the operands beside it, in order."""
    lower = text.lower().translate(_DASHES)
    if lower.isascii() and not any(mark in lower for mark in _MARKS):
        return []
    matches = list(_SIGN.finditer(lower))
    pieces = ["", *(match[0] for match in matches), ""]
    found = _CODE.findall(text)  # where small letters and capitals differ
    for before, match, after in zip(pieces, matches, pieces[2:], strict=False):
        sign, start, end = match[0], match.start(), match.end()
        operands = _is_operand(before), _is_operand(after)
        if sign in _SAID:
            numbers = [_number(piece) for piece in (before, after) if piece]
            if len(numbers) == 2 and None not in numbers:
                found.append(f"{_plain(before)} {_SAID[sign]} {_plain(after)}")
        elif sign in _ALWAYS or (sign in _BETWEEN and all(operands)):
            beside = [_plain(piece) if is_one else "" for piece, is_one in zip((before, after), operands, strict=True)]
            found.append(" ".join(filter(None, (beside[0], sign, beside[1]))))
        elif sign == "-" and after[:1].isdigit() and not lower[start - 1 : start].isalnum():
            found.append(f"- {_plain(after)}")
        elif sign == "!" and (lower[end : end + 1] == "=" or lower[start - 1 : start].isdigit()):
            found.append(f"{_plain(before)} !")
        elif unicodedata.category(sign[0]) in ("So", "Sm"):
            found.append(sign)
    if found and (brackets := "".join(piece for piece in pieces if piece in _BRACKETS)):
        found.append(brackets)  # they decide what the operators are about
    return found


def _is_operand(piece: str) -> bool:
    """Whether an operator can be next to it: a number, a letter, a bracket."""
    return piece[:1].isdigit() or (len(piece) == 1 and (piece.isalpha() or piece in _BRACKETS))


def unguarded_language(a: str, b: str) -> str | None:
    """Whether the texts are in a language that the checks do not know, or no one can tell.

    Two texts count as English where they have together more words of ``ENGLISH`` than of other languages, or no
    word of another language and hardly one that is no English word.
    Words in other scripts have to be the same. Nothing speaks against a text and its repetition, but for case and a
    mark at the end, in whatever language.

    Other languages want checks of their own and a threshold fitted on look-ups in them, with an embedder that knows
    them; :class:`costlab.cache.semantic.EmbeddingLayer` takes all three.

    Examples
    --------
    >>> unguarded_language("Meine Karte wird akzeptiert", "Meine Karte wird nicht akzeptiert")
    'unguarded language: 0 English words, 3 of other languages'
    >>> unguarded_language("my card is accepted", "my card was accepted") is None
    True
    """
    if _repeated(a) == _repeated(b):
        return None
    other_a, other_b = ([w for w in re.findall(r"[^\W\d_]+", _folded(t)) if not _latin(w)] for t in (a, b))
    for text in (a, b):
        letters = [letter for letter in text if letter.isalpha()]
        if sum(not _latin(letter) for letter in letters) > MAX_OTHER_SCRIPT_FRACTION * len(letters):
            return "unguarded language: another script than the Latin one"
    if other_a != other_b:
        return _against("unguarded language: words in another script", other_a, other_b)
    words = set(_words(_folded(a))) | set(_words(_folded(b)))
    if not any(word[0].isalpha() for word in words):
        return None
    english = len(words & ENGLISH)
    others = sum(
        word in OTHER_LANGUAGES or (not word.isascii() and word[0].isalpha() and word not in ACCENTED_ENGLISH)
        for word in words - ENGLISH
    )
    if english > others:
        return None
    if not others:
        known = {word for word in words if word in _KNOWN or not word[0].isalpha()}
        slips = sum(any(_same_word(word, other) for other in known) for word in words - known)
        if len(known) + slips >= MIN_KNOWN_WORDS_FRACTION * len(words):
            return None
    return f"unguarded language: {english} English words, {others} of other languages"


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _repeated(text: str) -> str:
    return " ".join(_folded(text).split()).rstrip(".?!…。？！।").rstrip()  # noqa: RUF001 (full-width marks are meant)


def _latin(letters: str) -> bool:
    return letters.isascii() or all(unicodedata.name(letter, "").startswith("LATIN") for letter in letters)


#: Every word that English is known to write.
_KNOWN: Final = frozenset().union(
    ENGLISH, _FURTHER_ENGLISH, FILLERS, NEGATIONS, NUMBER_WORDS, UNITS, *(words for pair in OPPOSITES for words in pair)
)


def named_terms(terms: Iterable[str]) -> ParaphraseCheck:
    """A check for terms that decide an answer: plans, products, places.

    Parameters
    ----------
    terms : iterable of str
        Words of which two texts must have the same, in any case.

    Examples
    --------
    >>> plans = named_terms(["Free", "Plus", "Family", "Business"])
    >>> plans("what does plus cost", "what does family cost")
    'terms differ: plus against family'
    """
    known = frozenset(term.lower() for term in terms)

    def different_terms(a: str, b: str) -> str | None:
        return _unlike("terms differ", *(known.intersection(_words(text)) for text in (a, b)))

    return different_terms


def near_copy(a: str, b: str) -> str | None:
    """Whether the texts are copies of each other but for a word or two that carry meaning.

    Who writes the same sentence with another word in it often means the other word. Slips of the fingers and words like
    ``please`` do not count. A synonym in an otherwise equal sentence is refused too, which halves the hits on ordinary
    paraphrases: a check for where wrong answers are expensive, not among the default ones.

    Examples
    --------
    >>> near_copy("remove Lena from the menu folder", "remove Lena from the wine folder")
    'copies but for: menu against wine'
    >>> near_copy("How do I shrae a folder?", "hi, how do i share a folder pls") is None
    True
    """
    words_a, words_b, left_a, left_b = _compared(a, b)
    alike = len(left_a) + len(left_b) < len(words_a) + len(words_b) - 2
    if 0 < max(len(left_a), len(left_b)) <= 2 and alike:
        return _against("copies but for", left_a, left_b)
    return None


def swapped_words(a: str, b: str) -> str | None:
    """Whether the texts say the same words in another order: who did what to whom.

    Examples
    --------
    >>> swapped_words("Our plan has 5 seats and we are 7 people", "Our plan has 7 seats and we are 5 people")
    'same words in another order'
    """
    words_a, words_b, left_a, left_b = _compared(a, b)
    if left_a or left_b or (len(words_a) == len(words_b) and all(map(_same_word, words_a, words_b))):
        return None
    return "same words in another order"


def _compared(a: str, b: str) -> tuple[list[str], list[str], list[str], list[str]]:
    """The words of both texts that carry meaning, and those of them that the other text has nowhere."""
    words_a, words_b = ([_plain(word) for word in _words(text) if word not in FILLERS] for text in (a, b))
    left_a, left_b = (
        [word for word in these if not any(_same_word(word, other) for other in those)]
        for these, those in ((words_a, words_b), (words_b, words_a))
    )
    return words_a, words_b, left_a, left_b


def _plain(word: str) -> str:
    """One spelling for units and numbers."""
    number = _number(word)
    return UNITS.get(word, word) if number is None else f"{number:g}"


def _same_word(a: str, b: str) -> bool:
    """Whether two words are one with another ending or a slip of the fingers."""
    return a == b or (min(len(a), len(b)) >= 4 and a[0] == b[0] and SequenceMatcher(None, a, b).ratio() >= 0.75)


#: The checks that cost few right hits. They need to be told nothing.
DEFAULT_CHECKS: Final[tuple[ParaphraseCheck, ...]] = (
    different_negation,
    different_numbers,
    different_units,
    opposite_words,
    different_direction,
    different_names,
    swapped_words,
    different_signs,
    unguarded_language,
)

#: The same and :func:`near_copy`: for traffic that repeats itself word for word, or where a wrong answer is expensive.
STRICT_CHECKS: Final[tuple[ParaphraseCheck, ...]] = (*DEFAULT_CHECKS, near_copy)


def refusal_reasons(a: str, b: str, checks: Sequence[ParaphraseCheck] = DEFAULT_CHECKS) -> tuple[str, ...]:
    """Every reason why two texts must not share an answer; empty where no check has one.

    Examples
    --------
    >>> refusal_reasons("How do I turn on two-step sign-in?", "How do I turn off two-step sign-in?")
    ('opposites: turn on against turn off',)
    """
    return tuple(reason for check in checks if (reason := check(a, b)) is not None)
