"""Probe kind `replication`: one sample of the service's replicated instance at the site.

UP: the instance does its part of the pair, as a primary that accepts writes or as a standby that is
fed. No answer is UNKNOWN, whatever the cause: only an instance's own word, or a positive sign that it
does not run, says anything. Which site *should* be primary is not decided here.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

from pydantic import Field

from probes.model import ProbeResult
from probes.place import Place
from probes.reasons import Reason
from probes.settings import PerSite, ProbeSettings
from probes.trying import Outcome, Trail, attempt, down, unknown, up
from sites.errors import SitesTrouble
from sites.replication.words import ReplicationDriver, Role, Sample


class ReplicationSettings(ProbeSettings):
    """Settings of a `replication` probe beside the common ones."""

    role: PerSite[Literal["primary", "standby"]] | None = Field(
        None, description="what the instance must be; without it, either will do"
    )


class ReplicationProbe:
    """Watches one instance by its driver."""

    def __init__(
        self,
        *,
        service: str,
        site: str,
        role: str | None,
        drivers: Mapping[str, ReplicationDriver],
        now_ns: Callable[[], int],
    ) -> None:
        self._service = service
        self._site = site
        self._role = role
        self._drivers = drivers
        self._now_ns = now_ns

    async def try_once(self, *, timeout_seconds: float) -> ProbeResult:
        """Ask the driver once."""
        return await attempt(
            f"replication sample of {self._service} at {self._site}",
            self._sample,
            timeout_seconds=timeout_seconds,
            now_ns=self._now_ns,
            when_silent=partial(unknown, Reason.NO_ANSWER),
        )

    async def _sample(self, trail: Trail) -> Outcome:
        driver = self._drivers.get(self._service)
        if driver is None:
            return unknown(Reason.NO_DRIVER, "no replication driver for this service; it is watched only")
        trail.reached = "asking the driver"
        try:
            return judge(await driver.sample(self._site), role=self._role)
        except SitesTrouble as error:
            return unknown(Reason.NO_ANSWER, str(error) or type(error).__name__)

    async def aclose(self) -> None:
        """Nothing is kept here; the drivers have an owner."""


def judge(sample: Sample, *, role: str | None) -> Outcome:
    """What a sample says about the instance's part of the pair."""
    if sample.role is Role.UNKNOWN:
        return unknown(Reason.NO_ANSWER, sample.reason or "no answer")
    if sample.role is Role.DOWN:
        return down(Reason.NOT_RUNNING, sample.reason or "not running")
    where = f" at {sample.position.text}" if sample.position is not None and sample.position.text else ""
    said = f"{sample.role.value}{where}"
    if role is not None and sample.role.value != role:
        return down(Reason.WRONG_ROLE, f"{said}; expected {role}")
    if sample.role is Role.PRIMARY:
        good, yes, no = sample.writable, Reason.WRITABLE, Reason.READ_ONLY
    else:
        good, yes, no = sample.streaming, Reason.STREAMING, Reason.NOT_STREAMING
    if good is None:
        return unknown(Reason.NO_ANSWER, f"{said}; it did not say whether it is {yes.value}")
    return up(yes, f"{said}, {yes.value}") if good else down(no, f"{said}, {no.value}")


def build(settings: ReplicationSettings, place: Place) -> ReplicationProbe:
    """The probe of one place. Raises SettingsInvalid."""
    return ReplicationProbe(
        service=place.service.name,
        site=place.site.name,
        role=None if settings.role is None else settings.role.at(place.site.name),
        drivers=place.context.drivers,
        now_ns=place.context.now_ns,
    )
