"""What must hold of those who are told: each has a name, an address, and something to be told of.

Pure. A receiver that is never told of anything would be believed to be, on the night when it matters.
"""

from collections.abc import Callable, Iterable, Iterator
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from sites.draft import Draft, one_of, unknown_name
from sites.marks import Finding, Trail
from sites.notify import ALERTMANAGER, MOST_RECEIVERS, NotifySpec, next_of, scheme_of
from sites.secrets import is_reference

_ADDRESS = "a URL such as mailtos://user@mail.example?to=oncall@council.example"


def receivers_have_names_of_their_own(draft: Draft) -> Iterator[Finding]:
    """Outcomes, escalations and metrics go by the name."""
    if len(draft.estate.notify) > MOST_RECEIVERS:
        yield Finding(
            ("notify",), f"at most {MOST_RECEIVERS} receivers", f"{len(draft.estate.notify)} of them"
        )
    seen: set[str] = set()
    for number, spec in enumerate(draft.estate.notify):
        name = spec.name or f"receiver-{number + 1}"
        if name in seen and draft.sound("notify", number, "name"):
            trail: Trail = ("notify", number, "name") if spec.name else ("notify", number)
            yield Finding(trail, "a name of its own for each receiver", f"{name} again")
        seen.add(name)


def receivers_are_told_of_something(draft: Draft) -> Iterator[Finding]:
    """By what they ask for, or by an escalation."""
    receivers = draft.estate.receivers
    if not draft.sound_within("notify") or len(receivers) != len(draft.estate.notify):
        return
    told = {next_of(receivers, name) for name in receivers}
    for number, (name, spec) in enumerate(receivers.items()):
        if not spec.when and name not in told:
            expected = "`when`, or another receiver that escalates to it"
            yield Finding(("notify", number), expected, f"{name} with neither")


def escalations_lead_to_somebody(draft: Draft) -> Iterator[Finding]:
    """Every one names another receiver, and none comes back to where it began."""
    receivers = draft.estate.receivers
    if not draft.sound("notify") or len(receivers) != len(draft.estate.notify):
        return
    for number, (name, spec) in enumerate(receivers.items()):
        at: Trail = ("notify", number)
        if not draft.sound_within(*at):
            continue
        others = [other for other in receivers if other != name]
        if spec.escalate_to is not None and spec.escalate_to not in others:
            yield unknown_name((*at, "escalate_to"), spec.escalate_to, "another receiver", others)
        elif spec.escalate_to is not None and spec.escalate_after_seconds is None:
            yield Finding((*at, "escalate_to"), "`escalate_after` beside it", "no time after which")
        elif spec.escalate_after_seconds is not None and next_of(receivers, name) is None:
            yield Finding(
                (*at, "escalate_after"), "`escalate_to`, or a receiver after this one", "the last of the list"
            )
        elif (ring := _ring(receivers, name)) and name == min(ring, key=list(receivers).index):
            shown = " to ".join((*ring, ring[0]))
            yield Finding((*at, "escalate_after"), "escalations that come to an end", f"a ring: {shown}")


def _ring(receivers: dict[str, NotifySpec], name: str) -> list[str]:
    """The escalations that lead from a receiver back to it, or nothing."""
    way = [name]
    while (following := next_of(receivers, way[-1])) is not None and following not in way:
        way.append(following)
    return way if following == name else []


def receivers_concern_services_that_exist(draft: Draft) -> Iterator[Finding]:
    """A misspelt name would keep a service's messages from everybody."""
    known = draft.names("services")
    for number, spec in enumerate(draft.estate.notify):
        for index, service in enumerate(spec.services or ()):
            trail: Trail = ("notify", number, "services", index)
            if draft.sound(*trail) and service not in known:
                yield unknown_name(trail, service, "a service", known)


def addresses_can_be_written_to(draft: Draft) -> Iterator[Finding]:
    """As far as the text tells; whether the kind exists is for who sends to say."""
    for number, spec in enumerate(draft.estate.notify):
        listed = not isinstance(spec.to, str)
        if not spec.addresses and draft.sound("notify", number, "to"):
            yield Finding(("notify", number, "to"), "at least one address", "an empty list")
        for index, address in enumerate(spec.addresses):
            trail: Trail = ("notify", number, "to", index) if listed else ("notify", number, "to")
            if is_reference(address) or not draft.sound(*trail):
                continue
            scheme = scheme_of(address)
            if not scheme:
                yield Finding(trail, _ADDRESS, "no URL")
            elif scheme in ALERTMANAGER and not _has_host(address):
                yield Finding(trail, f"{scheme}://host:port, such as {scheme}://alertmanager.example:9093")


def _has_host(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def quiet_hours_have_a_zone(draft: Draft) -> Iterator[Finding]:
    """A zone that does not exist, or hours that are none, would hold everything or nothing back."""
    for number, spec in enumerate(draft.estate.notify):
        at: Trail = ("notify", number, "quiet")
        if spec.quiet is None or not draft.sound_within(*at):
            continue
        if spec.quiet.timezone not in available_timezones():
            yield Finding((*at, "timezone"), "a time zone such as Europe/London")
        if spec.quiet.from_time == spec.quiet.to_time:
            yield Finding((*at, "to"), "another time than `from`", f"{spec.quiet.to_time} for both")


def somebody_is_told(draft: Draft) -> Iterator[Finding]:
    """What is worst must not end in a log alone."""
    told = {topic for spec in draft.estate.notify for topic in spec.when}
    if draft.estate.notify and draft.sound_within("notify") and "all" not in told:
        missing = [
            topic for topic in ("failover", "refused", "site-dark", "two-writable") if topic not in told
        ]
        if missing:
            sentence = f"nobody is told of {one_of(missing, 'and')}: no receiver has it in its `when`"
            yield Finding(("notify",), found=sentence, at_key=True, warning=True)


NOTIFY_RULES: tuple[Callable[[Draft], Iterable[Finding]], ...] = (
    receivers_have_names_of_their_own,
    receivers_are_told_of_something,
    escalations_lead_to_somebody,
    receivers_concern_services_that_exist,
    addresses_can_be_written_to,
    quiet_hours_have_a_zone,
    somebody_is_told,
)
