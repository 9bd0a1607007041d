"""Read a rating from 1 to 10 in a judge's text, or find that there is none to be sure of.

FastChat asks for "Rating: [[5]]" and reads the first [[n]], else the first [n]. That form counts
here first, too. But what a judge writes may hold other numbers in brackets (code, footnotes), the
scale ("Rating (1-10): 8"), two ratings, or a rating on another scale. Then the number that follows
the word "rating" counts, and where no single one is left there is no rating: better asked again
than wrong.
"""

import re

NUMBER = r"[0-9]+(?:\.[0-9]+)?"
# "1-10", "[[1]] to [[10]]", "(from 1 to 10)", "on a scale of 1 to 10": the scale, not a rating.
SCALE = re.compile(
    r"(?i)\(?\s*(?:(?:on|using) (?:a|the) scale (?:of|from)\s*|from\s+|between\s+)?"
    r"(?<![0-9.])\[{0,2}\s*[01]\s*\]{0,2}\s*(?:-|\u2013|\u2014|to|and|\.\.+|\u2026)\s*"
    r"\[{0,2}\s*10\s*\]{0,2}(?![0-9.]*[0-9])\s*\)?"
)
# "(out of 10)", "(max 10)", "(/10)", "[1 = poor, 10 = excellent]": the same in other words.
LEGEND = re.compile(
    r"(?i)\((?:\s*(?:out of|max(?:imum)?\.?|of)\s*10|\s*/\s*10)\s*\)|\b(?:10|[01])\s*=\s*[a-z]+"
)
DENOMINATOR = rf"(?:\s*(?:/|\bout of\b)\s*\[{{0,2}}(?P<of>{NUMBER})\]{{0,2}})?"
# "Rating: 7-8", "7, 8", "8,5", "7 or 8", "80 %", "8th", "1: poor": no single rating.
NOT_SINGLE = re.compile(
    r"(?i)\s*(?:-|\u2013|\u2014|to\b|or\b|and\b)\s*\[*[0-9]|,\s*[0-9]|\s*%|[a-z]|\s*[:=]|\.[0-9]"
)
DOUBLE = re.compile(
    rf"\[\[\s*(?P<value>{NUMBER})(?:\s*(?:/|out of)\s*(?P<inner>{NUMBER}))?\s*\]\]{DENOMINATOR}"
)
WORD = r"(?i)\b(?:rating|rate|score|grade)\b"
# Between the word and its number: "Rating is", "score of", "rating would be", ":", brackets.
AFTER_WORD = re.compile(
    WORD + r"(?:\s+(?:is|of|as|at|would be|will be|it|this|answer|response|the|a|an))*"
    rf"[\s:=(\[\u2013\u2014-]{{0,8}}(?<![-0-9.])(?P<value>{NUMBER}){DENOMINATOR}[\])]*"
)
BEFORE_DOUBLE = re.compile(WORD + r"[^\n\[\]]{0,40}$")
# "8/10" or "8 out of 10" where nothing follows that would make it something else.
FRACTION = re.compile(
    rf"(?i)(?<![0-9./-])(?P<value>{NUMBER})\s*(?:/|out of)\s*(?P<of>10)(?=\W*(?:\n|\Z))"
)
# FastChat's fallback, where the bracket is all of a line's end or beginning.
SINGLE = re.compile(rf"\A\W*\[\s*(?P<value>{NUMBER})\s*\]|\[\s*(?P<value_>{NUMBER})\s*\]\W*\Z")

# what else counts, in this order, where no [[n]] is found
FORMS = (AFTER_WORD, FRACTION, SINGLE)


def parse_rating(text: str) -> float | None:
    """Return the rating in a judgment, None without exactly one from 1 to 10."""
    plain = re.sub(r"\n+", "\n", re.sub(r"[^\S\n]+", " ", re.sub(r"[*_`~#]", "", text)))
    plain = LEGEND.sub(" ", SCALE.sub(" ", plain))
    for matches in (_double_brackets(plain), *(form.finditer(plain) for form in FORMS)):
        found = {_value(match) for match in matches}
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def _double_brackets(text: str) -> list[re.Match[str]]:
    """Return the [[n]]: those that follow the word "rating" only, where there are any."""
    matches = list(DOUBLE.finditer(text))
    return [match for match in matches if BEFORE_DOUBLE.search(text[: match.start()])] or matches


def _value(match: re.Match[str]) -> float | None:
    """Return what was read as a rating, None if it is not a clear one from 1 to 10."""
    groups = match.groupdict()
    number = float(groups["value"] or groups["value_"])
    scale = groups.get("inner") or groups.get("of")
    after = match.string[match.end() :]
    if NOT_SINGLE.match(after) or (scale is not None and float(scale) != 10):
        return None
    return number if 1 <= number <= 10 else None
