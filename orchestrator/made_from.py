"""What a plan is made from, by name: runbooks, scripts, what the estate says of the service, versions; and
whether the newest success was of exactly that.

Pure. Two plans of one move differ in run, epoch and often in kind: a drill's is compared with tonight's
failover by what both are made from. What a drill did not use was not tested by it, and is named as well.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runbooks.model import Runbook
from runbooks.planned import Plan
from runbooks.shipped import sha256_of
from sites.hosts_of import hosts_of
from sites.model import Estate

PLAN = "plan"
TWINSITE = "twinsite"
HASH_CHARACTERS = 16
MOST_NAMED = 8
# What people call it, what they were promised and who goes first do not change what is done.
_BESIDE_THE_MATTER = frozenset({"title", "tenants", "objectives", "rank", "home", "standby"})


def made_from(plan: Plan, estate: Estate, *, version: str, databases: Mapping[str, str]) -> dict[str, str]:
    """By name, a hash or a version. `databases`: the version at each site, as far as it is known."""
    found = {PLAN: plan.hash[:HASH_CHARACTERS], TWINSITE: version}
    for part in plan.parts:
        if not part.source_sha256:
            continue  # twinsite's own: its version says it
        found[f"runbook {part.runbook}"] = part.source_sha256[:HASH_CHARACTERS]
        for name, sha256 in part.includes.items():
            word = "script" if ": " in name else "runbook"
            found[f"{word} {name}"] = sha256[:HASH_CHARACTERS]
    found |= _inventory(plan, estate)
    found |= {f"database at {site}": said for site, said in databases.items() if said}
    return dict(sorted(found.items()))


def hashes_of(runbook: Runbook) -> dict[str, str]:
    """Of a runbook as it was read, with all that it brings along."""
    found = {f"runbook {runbook.name}": runbook.source_sha256[:HASH_CHARACTERS]}
    for path, text in runbook.files.items():
        found[f"script {runbook.name}: {path}"] = sha256_of(text)[:HASH_CHARACTERS]
    for inner in runbook.nested.values():
        found |= hashes_of(inner)
    return found


def _inventory(plan: Plan, estate: Estate) -> dict[str, str]:
    """What `sites.yaml` says of the service, key by key, and of each host that it has or its steps name."""
    service = estate.services[plan.service]
    keys = service.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    found = {f"sites.yaml services.{plan.service}.{key}": _hash(value) for key, value in keys.items()
             if key not in _BESIDE_THE_MATTER}  # fmt: skip
    named = {step.host for step in plan.steps if step.host}
    for site in (plan.from_site, plan.to_site):
        named |= {f"{site}/{host}" for host in hosts_of(estate, plan.service, site)}
    for reference in sorted(named):
        site, _, role = reference.partition("/")
        host = estate.sites[site].hosts.get(role)
        if host is not None:
            found[f"sites.yaml sites.{site}.hosts.{role}"] = _hash(host.model_dump(mode="json"))
    return found


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_CHARACTERS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """A run or drill that came to its end, and what it was made from."""

    run: str
    kind: str
    ended_unix_seconds: float
    seconds: float | None
    made_from: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """The newest success that tells most of today's plan. `changed`: what is another by now, and what it did
    not use; empty: exactly today's plan was tested."""

    success: Success
    changed: tuple[str, ...]

    @property
    def exactly(self) -> bool:
        """Nothing has changed since."""
        return not self.changed


def tested(today: Mapping[str, str], successes: Iterable[Success]) -> Tested | None:
    """How today's plan was tested; None: it never was. The newest that used everything that today's plan uses
    counts; where none did, the newest of all."""
    ordered = sorted(
        (one for one in successes if one.made_from), key=lambda one: one.ended_unix_seconds, reverse=True
    )
    if not ordered:
        return None
    used = _names(today)
    best = next((one for one in ordered if used <= _names(one.made_from)), ordered[0])
    return Tested(success=best, changed=changes(best.made_from, today))


def _names(made: Mapping[str, str]) -> frozenset[str]:
    return frozenset(name for name in made if name.startswith(("runbook ", "script ")))


def changes(before: Mapping[str, str], today: Mapping[str, str]) -> tuple[str, ...]:
    """What of today's plan is not as it was: its name, and both versions where they are versions. A version
    that is not known on either side tells nothing."""
    found = []
    for name, value in today.items():
        was = before.get(name)
        if name == PLAN or was == value:
            continue
        if name == TWINSITE or name.startswith("database at "):
            if was is not None:
                found.append(f"{name} {was} -> {value}")
        elif was is None and name.startswith(("runbook ", "script ")):
            found.append(f"{name} (it was not part of it)")
        elif was is None:
            found.append(f"{name} (new)")
        else:
            found.append(name)
    gone = [name for name in before if name not in today and name.startswith("sites.yaml ")]
    return tuple(found + [f"{name} (gone)" for name in gone])


def named(changed: Sequence[str]) -> str:
    """The changes as part of a sentence, not too many of them."""
    more = len(changed) - MOST_NAMED
    return ", ".join(changed[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
