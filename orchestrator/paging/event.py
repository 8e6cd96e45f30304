"""What people are told of, as a frozen value: one thing that is the matter, in words for somebody just woken.

Pure. An event is named by its key, which both controllers make alike, so that only one of them tells of it.
"""

from dataclasses import dataclass

from sites.notify import Severity, Topic

AT_ONCE_SECONDS = 0.0
OVER_AFTER_SECONDS = 60.0
"""How long a condition must have been away before it counts as over: one that flaps is told of once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing. `stage`: where it stands (`begun`, `done`, `failed`; of a condition always `on`); another
    stage is told of again, to whoever was told of the first. `loss`: what moving now would lose, or what a
    move has; `command`: what to type; `page`: of the docs, with its heading; `since`: a time of day.
    `once`: its key is never used again, so that what is over stays over.
    `patience_seconds`: how long it must last before it is worth a message; `over_after_seconds`: how long it
    must be away to be over, and `tells_over` whether that is told of."""

    key: str
    topic: Topic
    severity: Severity
    headline: str
    what: str
    where: str
    stage: str = "on"
    service: str = ""
    site: str = ""
    loss: str = ""
    command: str = ""
    page: str = ""
    since: str = ""
    patience_seconds: float = AT_ONCE_SECONDS
    over_after_seconds: float = OVER_AFTER_SECONDS
    tells_over: bool = True
    once: bool = False
