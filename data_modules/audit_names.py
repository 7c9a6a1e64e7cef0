"""Names of files that give the class away: harmless to a model that sees pixels alone, a trap for anything else."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PureWindowsPath

FEWEST_CASES = 5
PURITY = 0.95
"""Share of the token's cases that are of one class."""
CHANCE = 1e-3
"""How likely any token of a set may be as pure by luck."""

Place = int | None
"""Which part of the name a token is, from 0; None is anywhere."""


@dataclass(frozen=True, slots=True)
class TellingToken:
    """A part of file names that says the class."""

    token: str
    place: Place
    class_name: str
    cases: int
    """Cases whose names have the token."""
    of_class: int
    """Those of them that are of the class."""
    example: str
    """One such name."""

    def __str__(self) -> str:
        """The finding in words."""
        place = "" if self.place is None else f" as part {self.place + 1}"
        return (
            f"{self.token!r}{place} of the name: {self.of_class} of the {self.cases} cases that have it are "
            f"{self.class_name} (such as {self.example!r}); learn nothing from names"
        )


def name_tokens(path: str) -> list[str]:
    """The parts of a path without its suffix: runs of letters and runs of digits, in small letters.

    Args:
        path: With slashes of either kind.
    """
    return re.findall(r"[^\W\d_]+|\d+", PureWindowsPath(path).with_suffix("").as_posix().casefold())


def telling_tokens(named: Iterable[tuple[Sequence[str], str]]) -> list[TellingToken]:
    """Tokens whose presence says the class (almost) surely, and more surely than luck would have it.

    With n cases that have the token, k of them of a class that has the share p of all cases, and t tokens in all: k / n
    is at least ``PURITY``, and t * P(Binomial(n, p) >= k) is below ``CHANCE``. A token that tells wherever it is, is
    not listed again for each place.

    Args:
        named: For each case the paths of its files, not empty, and its class.
    """
    classes: Counter[str] = Counter()
    seen: dict[tuple[str, Place], Counter[str]] = defaultdict(Counter)
    examples: dict[tuple[str, Place, str], str] = {}
    for paths, class_name in named:
        classes[class_name] += 1
        features: dict[tuple[str, Place], str] = {}
        for path in paths:
            for place, token in enumerate(name_tokens(path)):
                features.setdefault((token, None), path)
                features.setdefault((token, place), path)
        for (token, where), path in features.items():
            seen[token, where][class_name] += 1
            examples.setdefault((token, where, class_name), path)
    total = sum(classes.values())
    found: list[TellingToken] = []
    told: set[tuple[str, str]] = set()
    for (token, where), counts in sorted(seen.items(), key=lambda item: item[0][1] is not None):
        ((class_name, most),) = counts.most_common(1)
        cases = sum(counts.values())
        if cases < FEWEST_CASES or most < PURITY * cases or (token, class_name) in told:
            continue
        if len(seen) * _tail(cases, most, classes[class_name] / total) < CHANCE:
            found.append(TellingToken(token, where, class_name, cases, most, examples[token, where, class_name]))
            told.add((token, class_name))
    return found


def _tail(n: int, k: int, p: float) -> float:
    """P(Binomial(n, p) >= k)."""
    if p >= 1:
        return 1.0
    logs = (
        math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * math.log(p) + (n - i) * math.log1p(-p)
        for i in range(k, n + 1)
    )
    return math.fsum(map(math.exp, logs))
