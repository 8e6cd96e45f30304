"""The codes of decisions to act, to wait or to leave it alone. Pure: a table; `orchestrator.core.reasons`
puts it together with the others. Codes that are refusals as well stand with the refusals."""

from orchestrator.core.reason import Reason, ReasonGroup

DECISIONS = ReasonGroup(
    "Decisions",
    (
        Reason(
            "healthy",
            "Primary and standby are as they should be.",
            "Nothing to do.",
        ),
        Reason(
            "first-claim",
            "The service is at home here and nobody ever owned it, so this site claims it.",
            "Nothing to do.",
        ),
        Reason(
            "take-over",
            "The other site is lost and its lease is over, so the service opens here.",
            "Follow the run: `twinsite runs`; then find out what became of the other site.",
        ),
        Reason(
            "claim",
            "The other site fenced the service and gave it up, so it opens here without waiting.",
            "Follow the run: `twinsite runs`; then find out why its database died there.",
        ),
        Reason(
            "reopen-failed",
            "The database could not be opened here, several times in a row.",
            "Read its log and the database's; or `twinsite failover SERVICE` at the other site.",
        ),
        Reason(
            "claim-back",
            "This site gave the service up in order and nobody came for it, so it opens here again.",
            "Find out why the move did not go on: `twinsite runs`.",
        ),
        Reason(
            "reopen",
            "The service was cut off here when the lease ran out, nobody took it, and it opens again.",
            "Find out why the lease could not be renewed: `twinsite status` shows the store.",
        ),
        Reason(
            "restart",
            "The database is not running at the site that owns it, and is started there: that is allowed "
            "(`local_restarts`), or nobody else could take it.",
            "Watch it with `twinsite status --watch`; read the database's log.",
        ),
        Reason(
            "give-up",
            "The database is dead and no restart is allowed: it is fenced and given up at once.",
            "Nothing to do: the other site takes it; then read the dead database's log.",
        ),
        Reason(
            "hand-over",
            "The database is well, but no client reaches it, by two observers' word: it moves.",
            "Follow the run: `twinsite runs`; then mend the clients' way to the site it left.",
        ),
        Reason(
            "hand-over-failed",
            "The service was to be handed over because its clients cannot reach it, and that has not worked.",
            "Read the run (`twinsite runs`); mend the clients' way, or order `twinsite switchover SERVICE`.",
        ),
        Reason(
            "release",
            "The site that was to carry a run out is lost: the run ends, and the service stays where it is.",
            "Nothing to do for the service; when that site is back, order the move again if it is wanted.",
        ),
        Reason(
            "run-waiting",
            "A run waits for a person: something failed, is not known, was paused, or has to be done or "
            "agreed to.",
            "`twinsite runs show RUN` says what it waits for, and the command to type for it.",
        ),
        Reason(
            "in-doubt",
            "A run was cut off in the middle of a step, and nobody can tell whether that step was done.",
            "Read the step with `twinsite runs`, look on its host, and settle it by hand before going on.",
        ),
        Reason(
            "rejoin",
            "The instance here becomes a standby of the primary again.",
            "Wait: `twinsite status` shows it; what only it had is saved first, and the run names the place.",
        ),
        Reason(
            "rejoin-failed",
            "The last rejoin did not succeed; it is tried again later, each time a little later.",
            "Read why with `twinsite explain SERVICE`; if it can never succeed, rebuild the copy.",
        ),
        Reason(
            "writable-without-right",
            "The instance here accepts writes although another site, or nobody, owns it: it is cut off.",
            "Find out who started it; look at `twinsite explain SERVICE` before anything is opened again.",
        ),
        Reason(
            "other-site-writable",
            "This site owns the service, but the instance at the other site accepts writes: opening the one "
            "here would make two.",
            "Find out who opened it there, save what was written to it, and cut it off; then it opens here.",
        ),
        Reason(
            "clock-rate",
            "Two clocks run further apart than `clock_drift`: the end of the lost site's lease is not known.",
            "Make sure that the site is off, then `twinsite failover SERVICE`; mend the clock that differs "
            "from both others: `status` names the pairs.",
        ),
        Reason(
            "hold-down",
            "The site, or the clients' way to it, is lost, and is given some time to come back.",
            "Wait, or order it yourself: `twinsite failover SERVICE`.",
        ),
        Reason(
            "link-down",
            "The link is down, the site is not: it renews its lease, and cannot be reached from here.",
            "Mend the link; until then nothing moves, and what could be lost grows.",
        ),
        Reason(
            "primary-unknown",
            "The primary's database does not answer, which proves neither that it lives nor that it is dead.",
            "Look at the database's host; `twinsite explain SERVICE` shows what was tried.",
        ),
        Reason(
            "unprotected",
            "The service runs, but no standby receives what is written.",
            "Find out why the standby does not receive: `twinsite lag`.",
        ),
        Reason(
            "lagging",
            "The service runs, but its standby is further behind than the recovery point objective.",
            "Find out what slows replication: link, disk, a long transaction.",
        ),
        Reason(
            "standby-not-eligible",
            "The other site could not take the service, so giving it up would gain nothing.",
            "Bring the database back where it was, or the standby; `twinsite explain SERVICE` tells both.",
        ),
        Reason(
            "followed",
            "Something else moves this service; twinsite only watches and follows.",
            "Move it with what does, for example its own observer.",
        ),
    ),
)
