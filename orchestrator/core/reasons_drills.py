"""The codes by which drills are refused, missed and abandoned. Pure: a table."""

from orchestrator.core.reason import Reason, ReasonGroup

DRILLS = ReasonGroup(
    "Drills",
    (
        Reason(
            "unknown-drill",
            "There is no drill of that name in the estate file.",
            "`twinsite drill list` names them all.",
        ),
        Reason(
            "drill-kind-missing",
            "This kind of drill cannot be carried out for this service, for what its driver is.",
            "The message says what is missing; a tabletop or a live drill may do instead.",
        ),
        Reason(
            "drill-under-way",
            "Another drill is under way, and there is one at a time in the whole estate.",
            "Wait for its end (`twinsite drill list`), or abandon it: `twinsite drill abandon NAME`.",
        ),
        Reason(
            "drill-not-under-way",
            "The drill is not under way, so there is nothing to abandon.",
            "`twinsite drill list` says which one is.",
        ),
        Reason(
            "run-under-way",
            "A run is under way at one of the sites, which comes before any rehearsal.",
            "Wait for its end: `twinsite runs` lists them.",
        ),
        Reason(
            "incident",
            "Something is wrong at one of the sites, which comes before any rehearsal.",
            "See what with `twinsite status`, and rehearse when it is over.",
        ),
        Reason(
            "drill-hold",
            "A site serves its users without the store (hold), which is no time for a rehearsal.",
            "Bring the store's members back; `twinsite status` says which do not answer.",
        ),
        Reason(
            "drill-unprotected",
            "The service has no working standby, so nothing is rehearsed with it.",
            "Find out why with `twinsite explain SERVICE`, and rehearse when it is protected again.",
        ),
        Reason(
            "drill-lag",
            "The standby is further behind than a rehearsal may begin with.",
            "Wait until it has caught up (`twinsite lag`), or allow more as `max_lag` of the drill.",
        ),
        Reason(
            "drill-lag-unknown",
            "How far the standby is behind is not known, so nothing is rehearsed with it.",
            "Find out why with `twinsite lag`.",
        ),
        Reason(
            "drill-blackout",
            "The time lies in one of the drill's blackouts.",
            "Nothing to do; a person may order it all the same: `twinsite drill run NAME`.",
        ),
        Reason(
            "drill-blackout-unknown",
            "Whether the time lies in a blackout cannot be told, because its calendar file cannot be read.",
            "Mend the file that the message names; `twinsite config check` says whether it is right.",
        ),
        Reason(
            "drilled-recently",
            "The drill ended too short a time ago to begin again by itself.",
            "Nothing to do; a person may order it all the same: `twinsite drill run NAME`.",
        ),
        Reason(
            "drill-not-kept",
            "The drill was not begun, because the store did not take what is to be kept of it.",
            "The message says why; the sites' users of the store must have the right to write `drills/`.",
        ),
        Reason(
            "drill-missed",
            "The drill's time passed, and no controller that could have carried it out was there.",
            "See `twinsite drill list` for when it is made up for, or order it: `twinsite drill run NAME`.",
        ),
    ),
)
