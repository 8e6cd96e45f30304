"""Who is told of what: the entries of `notify:` in `sites.yaml`.

Addresses are secrets more often than not, so they are written as `!env` or `!file` and looked up only when
something is sent: a controller starts without them, and a changed one counts from the next message on.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from sites.noun import Name, Noun
from sites.quantities import AboveZeroSeconds

ALERTMANAGER = ("alertmanager", "alertmanagers")
MOST_RECEIVERS = 100
TIME_PATTERN = r"^([01]\d|2[0-3]):[0-5]\d$"


class Severity(StrEnum):
    """How much it matters, the least first."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """The higher, the worse."""
        return tuple(Severity).index(self)


class Topic(StrEnum):
    """What a message can be about."""

    FAILOVER = "failover"
    SWITCHOVER = "switchover"
    REFUSED = "refused"
    DOWN = "down"
    TWO_WRITABLE = "two-writable"
    SITE_DARK = "site-dark"
    ISOLATED = "isolated"
    UNPROTECTED = "unprotected"
    WAITING = "waiting"
    HOLD = "hold"
    STORE = "store"
    SILENT = "silent"
    CERTIFICATE = "certificate"
    DRILL = "drill"
    RUNBOOK = "runbook"
    ALL = "all"


TOPIC_WORDS = {
    Topic.FAILOVER: "an unplanned move, by itself or ordered: begun, done, failed",
    Topic.SWITCHOVER: "a planned move, or a rejoin that failed: begun, done, failed",
    Topic.REFUSED: "something is the matter with a service, and nothing is done about it until a person acts",
    Topic.DOWN: "a service's database is down, closed or does not answer",
    Topic.TWO_WRITABLE: "an instance accepts writes that has no right to",
    Topic.SITE_DARK: "the other site is silent and its lease is over",
    Topic.ISOLATED: "this site cannot renew its lease, or its keeper is absent",
    Topic.UNPROTECTED: "a service runs, and no standby receives what is written",
    Topic.WAITING: "a run waits for a person",
    Topic.HOLD: "a site serves without any contact and is not taken over by itself",
    Topic.STORE: "the store is out of reach or not trusted any more",
    Topic.SILENT: "the other site's controller or the witness has gone silent",
    Topic.CERTIFICATE: "a certificate runs out soon, or has",
    Topic.DRILL: "a drill: begun, done, failed, refused, missed, or its copy is left behind",
    Topic.RUNBOOK: "what a runbook's `notify`, `person` and `approve` steps say",
    Topic.ALL: "all of these",
}


def _check_time(text: str) -> str:
    hours, colon, minutes = text.partition(":")
    digits = len(hours) == len(minutes) == 2 and hours.isdecimal() and minutes.isdecimal()
    if not (colon and digits and text.isascii() and int(hours) < 24 and int(minutes) < 60):
        raise ValueError("expected a time of day in quotes, such as '22:00'")
    return text


TimeOfDay = Annotated[
    str,
    AfterValidator(_check_time),
    WithJsonSchema({"type": "string", "pattern": TIME_PATTERN, "examples": ["22:00", "07:30"]}),
]


class QuietHours(Noun):
    """When what can wait is held back; it is sent when they are over, unless it is over by then too."""

    from_time: TimeOfDay = Field(alias="from", description="when they begin, every day")
    to_time: TimeOfDay = Field(alias="to", description="when they end; it may be on the next day")
    timezone: str = Field("Europe/London", description="the zone of both times")
    below: Severity = Field(Severity.CRITICAL, description="what is less than this is held back")


class MessageTemplates(Noun):
    """Jinja templates of your own, relative to the estate file; `twinsite notify template` prints the usual
    ones."""

    title: str | None = Field(None, min_length=1, description="file of the subject line's template")
    body: str | None = Field(None, min_length=1, description="file of the text's template")


class NotifySpec(Noun):
    """One receiver: what it is told of, where it is, and who is told when it does not answer."""

    name: Name | None = Field(
        None, description="what people call it; without it `receiver-1` and so on, by its place in the list"
    )
    when: list[Topic] = Field(
        default_factory=list, description="what it is told of; with nothing, only what is escalated to it"
    )
    to: str | list[str] = Field(
        repr=False,
        description="its address: a URL of apprise (mailto, msteams, slack, pagerduty, opsgenie, json …), or "
        "`alertmanager://host:9093` (`alertmanagers` for TLS), or a list of them; `!env NAME` or "
        "`!file PATH` where there is a secret in it",
    )
    severity: Severity = Field(Severity.INFO, description="the least that it is told of")
    services: list[str] | None = Field(
        None, description="only what concerns these services, or no service; without it, all"
    )
    escalate_after_seconds: AboveZeroSeconds | None = Field(
        None, alias="escalate_after", description="who is next is told when nobody acknowledges within this"
    )
    escalate_to: str | None = Field(
        None, description="the name of who is next; without it, the next of the list"
    )
    when_over: bool = Field(True, description="whether it is also told that something is over")
    quiet: QuietHours | None = Field(None, description="hours in which only what cannot wait is sent")
    timeout_seconds: AboveZeroSeconds = Field(
        20.0, alias="timeout", description="how long one try may take; then it is ended"
    )
    give_up_after_seconds: AboveZeroSeconds = Field(
        86400.0, alias="give_up_after", description="how long it is tried to send a message"
    )
    templates: MessageTemplates = Field(
        default_factory=lambda: MessageTemplates.model_validate({}), description="templates of your own"
    )

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every address; a secret that has not been looked up is a placeholder."""
        return (self.to,) if isinstance(self.to, str) else tuple(self.to)

    def wants(self, topic: Topic, severity: Severity, service: str) -> bool:
        """Whether it is told of such a thing of its own accord."""
        asked = topic in self.when or Topic.ALL in self.when
        ours = not service or self.services is None or service in self.services
        return asked and ours and severity.rank >= self.severity.rank


def named_receivers(specs: list[NotifySpec]) -> dict[str, NotifySpec]:
    """The receivers by name, in their order."""
    return {spec.name or f"receiver-{number}": spec for number, spec in enumerate(specs, 1)}


def next_of(receivers: dict[str, NotifySpec], name: str) -> str | None:
    """Who is told when nobody of `name` acknowledges; None where nobody is to be, or there is nobody."""
    spec, names = receivers[name], list(receivers)
    if spec.escalate_after_seconds is None:
        return None
    if spec.escalate_to is not None:
        return spec.escalate_to if spec.escalate_to in receivers else None
    number = names.index(name) + 1
    return names[number] if number < len(names) else None


def scheme_of(address: str) -> str:
    """What stands before `://`, in lower case; "" where nothing does."""
    scheme, colon, _ = address.partition("://")
    return scheme.strip().lower() if colon else ""
