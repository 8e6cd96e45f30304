"""Answers of a controller, made of the API's own shapes: a steady estate, and one whose Morpeth is lost."""

from orchestrator.api.shapes import (
    CertificateStatus,
    DecisionEntry,
    Evidence,
    Explanation,
    GateStatus,
    InstanceStatus,
    LagStatus,
    MovePlan,
    Refusal,
    RunDetail,
    ServiceStatus,
    SiteStatus,
    Status,
    StepStatus,
)
from orchestrator.api.site_shapes import SiteMovePlan, SitePart

ESTATE = """\
version: 1
store: {endpoints: ["https://127.0.0.1:2379"]}
sites:
  durham: {title: Durham, state: durham}
  morpeth: {title: Morpeth, state: morpeth}
  derwentside: {title: Derwentside, witness: true, state: derwentside}
services:
  crm: {title: Oracle CRM, home: durham, standby: morpeth, rank: 2}
  ebs: {title: Oracle E-Business Suite, home: morpeth, standby: durham, rank: 1}
"""


def site(name: str, **given: object) -> SiteStatus:
    """A site that answers."""
    told = {
        "site": name,
        "title": name.title(),
        "witness": False,
        "here": False,
        "seen": True,
        "seen_age_seconds": 0.3,
        "lease_remaining_seconds": 8.4,
        "incarnation": 3,
        "revoked": False,
        "hold": False,
        "detail": "",
    }
    return SiteStatus.model_validate(told | given)


def service(name: str, primary: str | None, standby_at: str, **given: object) -> ServiceStatus:
    """A healthy service."""
    told = {
        "service": name,
        "title": name.upper(),
        "primary": primary,
        "epoch": 4,
        "mode": "automatic",
        "movement": "steady",
        "run": "",
        "home": primary or standby_at,
        "standby": standby_at,
        "rank": 100,
        "watch_only": False,
        "diagnosis": "healthy",
        "decision": "hold",
        "why": "primary and standby are as they should be",
        "next_step": "",
        "instances": [
            InstanceStatus(
                site=primary or "durham", role="primary", writable=True, sample_age_seconds=0.2, reason=""
            ),
            InstanceStatus(
                site=standby_at, role="standby", writable=False, sample_age_seconds=0.4, reason=""
            ),
        ],
        "lag": LagStatus(
            service=name,
            from_site=primary or "durham",
            to_site=standby_at,
            seconds=0.0,
            bytes=0,
            sample_age_seconds=0.4,
            streaming=True,
            detail="",
        ),
        "loss_if_moved_now": "at most 0.4 s of changes",
        "paused": "",
        "unprotected_seconds": None,
    }
    return ServiceStatus.model_validate(told | given)


def steady() -> Status:
    """Nothing is degraded."""
    return Status(
        site="durham",
        version="twinsite 0.1.0",
        at="2026-11-23T03:12:07.000Z",
        store="reachable",
        store_age_seconds=0.2,
        keeper="running",
        overall="ok",
        warnings=[],
        sites=[
            site("durham", here=True),
            site("morpeth"),
            site("derwentside", witness=True, lease_remaining_seconds=None, incarnation=None),
        ],
        services=[
            service("ebs", "morpeth", "durham", rank=1),
            service("crm", "durham", "morpeth", rank=2),
        ],
    )


def morpeth_lost() -> Status:
    """Morpeth is silent; ebs has no primary that answers, crm no standby; one service is only watched."""
    ebs = service(
        "ebs",
        "morpeth",
        "durham",
        rank=1,
        diagnosis="site-dark",
        decision="refuse",
        why="its site is silent and its lease is over",
        next_step="twinsite failover ebs",
        instances=[
            InstanceStatus(
                site="morpeth", role="unknown", writable=None, sample_age_seconds=14.2, reason="timed-out"
            ),
            InstanceStatus(site="durham", role="standby", writable=False, sample_age_seconds=0.4, reason=""),
        ],
        lag=LagStatus(
            service="ebs",
            from_site="morpeth",
            to_site="durham",
            seconds=None,
            bytes=None,
            sample_age_seconds=14.2,
            streaming=False,
            detail="",
        ),
        loss_if_moved_now="at most 0.8 s of changes, as of 14 s ago",
        unprotected_seconds=14.2,
    )
    crm = service(
        "crm",
        "durham",
        "morpeth",
        rank=2,
        diagnosis="unprotected",
        why="it has no standby that receives what is written",
        lag=None,
        loss_if_moved_now="",
        unprotected_seconds=200.0,
        paused="until 04:00 by J. Bell: storage work",
        mode="manual",
    )
    stream = service(
        "smartstream",
        None,
        "morpeth",
        home="durham",
        epoch=None,
        watch_only=True,
        diagnosis="watch-only",
        instances=[],
        lag=None,
        mode="",
    )
    return steady().model_copy(
        update={
            "overall": "down",
            "warnings": ["no guard: a stalled controller is not fenced"],
            "sites": [
                site("durham", here=True),
                site("morpeth", seen=False, seen_age_seconds=14.2, lease_remaining_seconds=0.0),
                site(
                    "derwentside",
                    witness=True,
                    seen=None,
                    seen_age_seconds=None,
                    lease_remaining_seconds=None,
                ),
            ],
            "services": [ebs, crm, stream],
        }
    )


def explanation() -> Explanation:
    """Why ebs was not taken over."""
    return Explanation(
        service="ebs",
        diagnosis="site-dark",
        decision="refuse",
        code="guard-missing",
        row=308,
        why="no guard: a person decides",
        gates=[
            GateStatus(number=1, name="the right to it", ok=True, code="", evidence="lease over for 4 s"),
            GateStatus(
                number=2, name="old primary", ok=False, code="old-primary-writable", evidence="answers"
            ),
            GateStatus(number=3, name="data", ok=None, code="lag-unknown", evidence="no sample"),
        ],
        evidence=[
            Evidence(
                observer="derwentside",
                subject="ebs at morpeth",
                verdict="down",
                reason="timed-out",
                detail="no answer on 10.30.1.30:1521",
                age_seconds=1.2,
            )
        ],
        history=[
            DecisionEntry(
                at="2026-11-23T03:11:53Z",
                diagnosis="peer-silent",
                decision="hold",
                code="lease-still-held",
                why="its lease is not over yet",
            )
        ],
    )


def plan(name: str = "ebs", verb: str = "failover", **given: object) -> MovePlan:
    """A plan that may be ordered."""
    told = {
        "run": f"{name}-{verb}-7",
        "verb": verb,
        "service": name,
        "from_site": "morpeth",
        "to_site": "durham",
        "statement": "at most 0.8 s of changes would be lost, as of 14 s ago",
        "loss_bound_seconds": 0.8,
        "lines": [
            "1 promote: make the standby at durham writable",
            "2 probe: wait until the login page answers",
        ],
        "gates": [GateStatus(number=1, name="the right to it", ok=True, code="", evidence="lease over")],
        "refusal": None,
        "confirm_site": "morpeth",
        "plan": {},
    }
    return MovePlan.model_validate(told | given)


def refused_plan(name: str = "ebs") -> MovePlan:
    """A plan with a closed gate."""
    return plan(
        name,
        gates=[
            GateStatus(number=1, name="the right to it", ok=True, code="", evidence="lease over"),
            GateStatus(
                number=3, name="data", ok=False, code="lag-above-limit", evidence="94 s, allowed are 60 s"
            ),
        ],
        refusal=Refusal(
            code="lag-above-limit",
            message="moving ebs now could lose 94 s, and 60 s are allowed",
            evidence=["last position of morpeth 0/5000060, ours 0/4000000"],
        ),
    )


def far_from_home() -> MovePlan:
    """A failback that is planned long before it can be ordered; only two of its stages."""
    untimed = {"likely_seconds": None, "cautious_seconds": None, "times": 0}
    stages = [
        {
            "number": 1,
            "stage": "answers",
            "state": "next",
            "title": "morpeth answers again",
            "words": "not all of it does yet",
            "waits_for": ["morpeth's controller: not heard of for 42 s, and its lease is over"],
            **untimed,
        },
        {
            "number": 2,
            "stage": "rejoined",
            "state": "later",
            "title": "morpeth is made a standby of durham again",
            "words": "which way shows when it answers",
            "waits_for": [],
            "likely_seconds": 40.0,
            "cautious_seconds": 90.0,
            "times": 3,
        },
    ]
    way_home = {
        "home": "morpeth",
        "primary": "durham",
        "unprotected_since": "2026-11-23T03:14:00Z",
        "next_stage": 1,
        "stages": stages,
    }
    return MovePlan.model_validate(refused_plan().model_dump() | {"verb": "failback", "way_home": way_home})


def site_plan(*parts: SitePart, **given: object) -> SiteMovePlan:
    """The plan of a lost site."""
    told = {
        "run": "morpeth-failover-9",
        "verb": "failover",
        "site": "morpeth",
        "parts": parts,
        "critical_path": [part.service for part in parts],
        "critical_seconds": None,
    }
    return SiteMovePlan.model_validate(told | given)


def site_part(of: MovePlan | Refusal, service: str = "", *needs: str, rank: int = 1) -> SitePart:
    """A service's part of it: its plan, or why there is none."""
    if isinstance(of, MovePlan):
        return SitePart(service=of.service, rank=rank, needs=list(needs), plan=of, refusal=None)
    return SitePart(service=service, rank=rank, needs=list(needs), plan=None, refusal=of)


def site_run(state: str, **steps: str) -> RunDetail:
    """The run of a whole site; `steps` are its services and their states."""
    shown = [
        StepStatus(
            number=number,
            step=service,
            title="",
            state=step,  # type: ignore[arg-type]  # pydantic checks it
            detail=f"{service}-failover-7" if step == "done" else "capacity-short: full",
            duration_seconds=None,
        )
        for number, (service, step) in enumerate(steps.items(), 1)
    ]
    done = sum(1 for step in steps.values() if step == "done")
    whole = {
        "run": "morpeth-failover-9",
        "whole_site": "morpeth",
        "service": "",
        "statement": "",
        "outcome": f"{done} of {len(steps)} services are moved" if state != "running" else "",
        "steps": shown,
    }
    return run("", state, ()).model_copy(update=whole)


def run(
    name: str = "ebs", state: str = "running", steps: tuple[str, ...] = ("waiting",) * 2, **given: object
) -> RunDetail:
    """A run of the plan; `steps` are its steps' states."""
    titles = ("promote", "probe")
    told = {
        "run": f"{name}-failover-7",
        "kind": "failover",
        "service": name,
        "from_site": "morpeth",
        "to_site": "durham",
        "state": state,
        "outcome": "ebs is open at durham" if state == "done" else "",
        "statement": "at most 0.8 s of changes",
        "loss_bound_seconds": 0.8,
        "who": "operator",
        "why": "Morpeth is dark",
        "executor": "durham",
        "started": "2026-11-23T03:13:00Z",
        "ended": "" if state == "running" else "2026-11-23T03:13:02Z",
        "duration_seconds": None if state == "running" else 2.1,
        "steps": [
            StepStatus(
                number=number,
                step=titles[number - 1],
                title=titles[number - 1].title(),
                state=step,  # type: ignore[arg-type]  # pydantic checks it
                detail="",
                duration_seconds=0.3 if step == "done" else None,
            )
            for number, step in enumerate(steps, 1)
        ],
    }
    return RunDetail.model_validate(told | given)


def whole_run(name: str = "ebs") -> list[RunDetail]:
    """A run from its first step to its good end."""
    return [
        run(name, "running", ("running", "waiting")),
        run(name, "running", ("done", "running")),
        run(name, "done", ("done", "done")),
    ]


def certificate(
    name: str = "break-glass-1", kind: str = "break-glass", service: str = "ebs", **given: object
) -> CertificateStatus:
    """A certificate that was drawn up by the operator at Durham, about Morpeth."""
    told = {
        "id": name,
        "kind": kind,
        "site": "durham",
        "down": "morpeth",
        "service": service,
        "epoch": 5,
        "states": [
            "morpeth is off, or every one of these hosts of it is cut off from every client: ebs: ebs-db",
            "morpeth stays so until ebs is reconciled",
        ],
        "means": [
            "There is no quorum here: the store does not answer durham.",
            "Nothing else keeps morpeth.",
        ],
        "reason": "no power at Morpeth",
        "who": "jo@durham",
        "when": "2026-11-23T03:12:07.000Z",
        "second_person": "",
        "needs_second": False,
        "needs_signature": False,
        "expires_in_seconds": 900.0,
        "kept_at": f"/var/lib/twinsite/durham/certificates/{name}.json",
        "body": {"version": 1, "id": name, "down": "morpeth"},
    }
    return CertificateStatus.model_validate(told | given)
