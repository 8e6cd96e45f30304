"""Who reaches whom, by everybody's own word, and what follows from it: link down, site down, one way only, or
not known which. Nothing is guessed: an observer that was not heard lately says nothing, and one that reaches
nobody says nothing about the others. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

FRESH_WORD_SECONDS = 10.0


class Target(StrEnum):
    """What may be reached."""

    SITE = "site"
    MEMBER = "store member"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachWord:
    """What one observer says of reaching one target. `age_seconds`: since it was found out, as far as that is
    known here (None: never); `detail`: by which way; `of_site`: where a store member stands."""

    observer: str
    target: str
    kind: Target = Target.SITE
    reached: bool | None = None
    age_seconds: float | None = None
    detail: str = ""
    of_site: str | None = None

    @property
    def said(self) -> bool | None:
        """What counts: yes or no while it is fresh, else nothing."""
        fresh = self.age_seconds is not None and self.age_seconds <= FRESH_WORD_SECONDS
        return self.reached if fresh else None


class Finding(StrEnum):
    """What the words together mean. The values are what people read."""

    LINK_DOWN = "link down"
    ONE_WAY = "one way only"
    SITE_DOWN = "site down"
    EITHER = "link down or site down"
    SELF_CUT_OFF = "cut off"
    MEMBER_DOWN = "store member down"
    MEMBER_LINK = "observers disagree"


@dataclass(frozen=True, slots=True)
class Found:
    """One finding: its name, the sites or the store's member it is about, and the sentence."""

    finding: Finding
    about: tuple[str, ...]
    words: str

    def __str__(self) -> str:
        return f"{self.finding}: {self.words}"


@dataclass(frozen=True, slots=True)
class Reach:
    """The whole matrix as one observer knows it. `alive`: signs of life that need no link to the site: it
    renews its lease, or publishes what it sees. None: not known."""

    words: tuple[ReachWord, ...] = ()
    alive: Mapping[str, bool | None] | None = None

    @property
    def observers(self) -> tuple[str, ...]:
        """Who says anything at all, in the order of the words."""
        return tuple(dict.fromkeys(word.observer for word in self.words))

    @property
    def targets(self) -> tuple[tuple[Target, str], ...]:
        """What is spoken of: sites first."""
        found = dict.fromkeys((word.kind, word.target) for word in self.words)
        return tuple(sorted(found, key=lambda target: target[0] is not Target.SITE))

    def word(self, observer: str, target: str, kind: Target = Target.SITE) -> ReachWord | None:
        """What an observer says of a target."""
        return next(
            (
                word
                for word in self.words
                if word.observer == observer and word.target == target and word.kind is kind
            ),
            None,
        )

    def said(self, observer: str, target: str, kind: Target = Target.SITE) -> bool | None:
        """The same, as far as it counts now."""
        word = self.word(observer, target, kind)
        return word.said if word is not None else None

    def cut_off(self, observer: str) -> bool:
        """It reaches no other site at all: what it says is about itself."""
        said = [word.said for word in self.words if word.observer == observer and word.kind is Target.SITE]
        return len(said) > 1 and all(reached is False for reached in said)

    def is_alive(self, site: str) -> bool | None:
        """Whether a site gives signs of life through the store, or answers anybody at all."""
        if any(self.said(observer, site) for observer in self.observers):
            return True
        return (self.alive or {}).get(site)

    def disagreements(self) -> tuple[str, ...]:
        """The targets that some observers reach and others do not."""
        found = []
        for kind, target in self.targets:
            said = {self.said(observer, target, kind) for observer in self.observers}
            if {True, False} <= said:
                found.append(target)
        return tuple(found)


def findings(reach: Reach) -> tuple[Found, ...]:
    """What is the matter between the sites, and with the store's members; nothing when all is well."""
    found: list[Found] = []
    cut_off = [observer for observer in reach.observers if reach.cut_off(observer)]
    for observer in cut_off:
        words = f"{observer} reaches no other site, so it knows nothing about them"
        found.append(Found(Finding.SELF_CUT_OFF, (observer,), words))
    asked = [observer for observer in reach.observers if observer not in cut_off]
    linked: set[frozenset[str]] = set()
    for kind, site in reach.targets:
        if kind is not Target.SITE:
            continue
        no = [observer for observer in asked if observer != site and reach.said(observer, site) is False]
        if not no:
            continue
        if reach.is_alive(site):
            for observer in no:
                pair = frozenset({observer, site})
                if pair not in linked:
                    linked.add(pair)
                    found.append(_link(reach, observer, site))
        else:
            found.append(_site(reach, site, no, asked))
    return (*found, *_members(reach, asked, found))


def _link(reach: Reach, observer: str, site: str) -> Found:
    """`observer` does not reach `site`, which lives all the same."""
    if reach.said(site, observer):
        return Found(
            Finding.ONE_WAY,
            (observer, site),
            f"{site} reaches {observer}, {observer} does not reach {site}: the way from {observer} to {site} "
            f"is down, neither site is",
        )
    one, other = pair = (min(observer, site), max(observer, site))  # the same words at both ends
    others = [each for each in reach.observers if each not in pair and reach.said(each, site)]
    of_both = [each for each in others if reach.said(each, observer)]
    if reach.said(site, observer) is False and of_both:
        words = (
            f"{listed(of_both)} {_reaches(of_both)} {one} and {other}, which do not reach each other: the "
            f"link {one}-{other} is down, the sites are not"
        )
        return Found(Finding.LINK_DOWN, pair, words)
    who = (
        f"{listed(others)} {_reaches(others)} {site}, {observer} does not"
        if others
        else f"{site} is heard through the store, {observer} does not reach it"
    )
    return Found(Finding.LINK_DOWN, pair, f"{who}: the link {one}-{other} is down, the site is not")


def _site(reach: Reach, site: str, no: Sequence[str], asked: Sequence[str]) -> Found:
    """Nobody reaches `site`, and it gives no sign of life that anybody has seen."""
    silent = (reach.alive or {}).get(site) is False
    told = ", ".join(f"{each} {_age(reach, each, site)}" for each in no)
    unheard = [each for each in asked if each not in (*no, site)]
    if silent and len(no) > 1 and not unheard:
        words = f"nobody reaches {site} ({told}) and it is not heard through the store"
        return Found(Finding.SITE_DOWN, (site,), words)
    why = []
    if not silent:
        why.append("whether it is heard through the store is not known")
    if unheard:
        why.append(f"nothing is known of what {listed(unheard)} {_reaches(unheard)}")
    elif len(no) == 1:
        why.append("nobody else can be asked")
    words = f"{listed(no)} {'does' if len(no) == 1 else 'do'} not reach {site} ({told}): {', and '.join(why)}"
    return Found(Finding.EITHER, (site,), words)


def _age(reach: Reach, observer: str, site: str) -> str:
    word = reach.word(observer, site)
    return f"{word.age_seconds or 0:.0f} s ago" if word is not None else "never"


def _members(reach: Reach, asked: Sequence[str], found: Sequence[Found]) -> Iterable[Found]:
    """Members of the store, where what was found between the sites does not explain it."""
    down = {each.about[0] for each in found if each.finding in (Finding.SITE_DOWN, Finding.EITHER)}
    links = {frozenset(each.about) for each in found if len(each.about) > 1}
    for kind, member in reach.targets:
        if kind is not Target.MEMBER:
            continue
        words = [word for word in reach.words if word.kind is kind and word.target == member]
        of_site = next((word.of_site for word in words if word.of_site is not None), None)
        yes = [word.observer for word in words if word.said is True]
        no = [word.observer for word in words if word.said is False and word.observer in asked]
        no = [each for each in no if of_site is None or frozenset({each, of_site}) not in links]
        if not no or of_site in down:
            continue
        where = f"the store's member {f'at {of_site}' if of_site is not None else member}"
        if yes:
            others = "does not" if len(no) == 1 else "do not"
            told = f"{listed(yes)} {_reaches(yes)} {where}, {listed(no)} {others}"
            yield Found(Finding.MEMBER_LINK, (member,), told)
        else:
            yield Found(Finding.MEMBER_DOWN, (member,), f"nobody reaches {where} ({listed(no)} tried)")


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "nobody"


def _reaches(names: Sequence[str]) -> str:
    return "reaches" if len(names) == 1 else "reach"
