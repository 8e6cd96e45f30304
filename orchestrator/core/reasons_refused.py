"""The codes of refusals: of a right, at a gate, of a request. Pure: tables; `orchestrator.core.reasons`
puts them together."""

from orchestrator.core.reason import Reason, ReasonGroup

RIGHT = ReasonGroup(
    "The right to the service",
    (
        Reason(
            "lease-still-held",
            "The other site's lease may not have run out yet, so it may still be serving.",
            "Wait for the time named and ask again; if the site is known to be off, `--certify-down SITE`.",
        ),
        Reason(
            "no-quorum",
            "The store cannot be reached by a majority of its members, so nobody's right can change.",
            "See which members answer (`twinsite status`) and bring one back; what runs goes on running.",
        ),
        Reason(
            "peer-never-seen",
            "The other site's lease has not been read since this controller started, so its end is unknown.",
            "Wait until the store has been read, or certify the site down if it is known to be off.",
        ),
        Reason(
            "peer-word-missing",
            "This site's lease was broken, and the other site has not said that no glass was broken there.",
            "Bring the other controller back; is that site known to be off, `twinsite certify SITE --down`.",
        ),
        Reason(
            "quorum-there",
            "The glass may be broken only where the store is out of reach, and here it is not.",
            "Use `twinsite failover SERVICE`; `twinsite status` says what it would wait for.",
        ),
        Reason(
            "epoch-too-low",
            "The epoch named is not above the one that has already been used for the service.",
            "Take the epoch that `twinsite status` shows and name a higher one.",
        ),
        Reason(
            "break-glass",
            "The service is served under an operator's certificate, outside the store.",
            "Reconcile it first: `twinsite reconcile SERVICE --reason …`, once the store is back.",
        ),
        Reason(
            "peer-holds",
            "The other site holds: it may be serving its users without any contact to us.",
            "Make sure that it is off or cut off from its users, then use `--certify-down SITE --reason …`.",
        ),
        Reason(
            "peer-back",
            "The other site renewed its lease while we were about to take over.",
            "Nothing needs to be taken over; for a planned move use `twinsite switchover SERVICE`. If it is "
            "lost again, order the failover anew: what it would lose is more than was said.",
        ),
        Reason(
            "not-the-peers",
            "The service does not belong to the other site any more, so there is nothing to take.",
            "Look at `twinsite status` to see who is primary now.",
        ),
        Reason(
            "owned",
            "A site is primary for the service already.",
            "Move it with `switchover`, or with `failover` if that site is lost.",
        ),
        Reason(
            "unclaimed",
            "No site has ever been primary for the service.",
            "Start the controller of its home site: that one alone makes the first claim.",
        ),
        Reason(
            "not-home",
            "Only the service's home site makes the very first claim.",
            "Start the controller of its home site.",
        ),
        Reason(
            "not-the-holder",
            "Only the site that is primary may do this.",
            "Ask the controller of the site that `twinsite status` names as primary.",
        ),
        Reason(
            "superseded",
            "Another controller of this site has taken over its place.",
            "Look for a second controller of the same site, and stop the one that is not wanted.",
        ),
        Reason(
            "manual",
            "The service is manual: it moves only when given up, or when its site is certified down.",
            "At the other site: `twinsite failover SERVICE`; if its own site is off, with `--certify-down`.",
        ),
        Reason(
            "entitled",
            "This site still has the right to the service, so the keeper does not cut it off.",
            "Use `twinsite switchover SERVICE`, which has it given up in order.",
        ),
        Reason(
            "right-lost",
            "This site's right to the service ended while it was being acted on, so that was stopped.",
            "See who is primary now with `twinsite status`, and how far it got with `twinsite runs`.",
        ),
        Reason(
            "give-up-overtaken",
            "Giving the service up was cut short, and whoever asked for it decides anew.",
            "Nothing to do; look again in a moment.",
        ),
        Reason(
            "fence-unverified",
            "It could not be proven that the old instance is cut off, so nothing was given up.",
            "Cut it off by other means (power, network), or bring its host back, and ask again.",
        ),
        Reason(
            "guard-missing",
            "No guard is there to cut a stalled site off, so a move without people would not be safe.",
            "Make sure that the old site cannot write, then, at the other site: `twinsite failover SERVICE`.",
        ),
    ),
)

GATES = ReasonGroup(
    "The gates before a promotion",
    (
        Reason(
            "old-primary-writable",
            "The old primary still answers as writable, so promoting now would make two.",
            "Use `switchover`, which closes it in order; if it should not be up, cut it off first.",
        ),
        Reason(
            "lag-above-limit",
            "Moving now could lose more than the service's `max_data_loss` allows.",
            "Wait for the standby, or accept it: `twinsite failover SERVICE --accept-loss … --reason …`.",
        ),
        Reason(
            "lag-unknown",
            "How much would be lost is not known: no sample of standby or primary is fresh enough.",
            "Find out why (`twinsite lag`), or accept it by name: `--accept-loss any --reason …`.",
        ),
        Reason(
            "proof-awaited",
            "The other site gave the service up, and looks once more on its host whether nothing was written "
            "there since the database died; that takes a second.",
            "Nothing to do: it is claimed when that has come. Ordered by hand: order it again in a moment.",
        ),
        Reason(
            "loss-not-accepted",
            "The loss that was accepted is smaller than what may be lost.",
            "Read the plan's statement and accept at least that much, or wait for the standby to catch up.",
        ),
        Reason(
            "below-final-position",
            "The standby has not received everything that the old primary had acknowledged.",
            "Let it catch up; only if the rest is gone for good, accept the loss by name with a reason.",
        ),
        Reason(
            "history-unknown",
            "The two sides' histories cannot be compared, so nobody can say what would be lost.",
            "Compare the two databases by hand before anything is promoted.",
        ),
        Reason(
            "history-diverged",
            "The standby belongs to another history than the primary: another cluster, or a split one.",
            "Rebuild it from the primary, or find out which side is right, before anything is promoted.",
        ),
        Reason(
            "capacity-short",
            "The site that would take the service has no room for it.",
            "Move or stop services of a lower rank there first, give them `shed` runbooks, or accept it by "
            "name: `--over-capacity` with a reason.",
        ),
        Reason(
            "flap-damped",
            "The service moved by itself a short while ago, and nobody has looked at that move yet.",
            "Find out why (`twinsite explain SERVICE`), then `twinsite acknowledge SERVICE --reason …`.",
        ),
        Reason(
            "paused",
            "Moves of the service are paused.",
            "Look who paused it and why (`twinsite status`), then `twinsite resume SERVICE`.",
        ),
        Reason(
            "clocks-differ",
            "The sites' times of day differ by more than a minute, so times in records would mislead.",
            "Set the clock that is wrong (`twinsite status` names it), then order the planned move again.",
        ),
        Reason(
            "fence-not-confirmed",
            "The service asks for proof that the old primary is cut off, and there is none.",
            "Devices are tried again by themselves; or cut it off by hand and certify the site down.",
        ),
        Reason(
            "not-drilled-since-change",
            "The plan has changed since it was last rehearsed.",
            "Rehearse it, or go on with a named reason if this is a real emergency.",
        ),
    ),
)

STEERING = ReasonGroup(
    "Steering a run",
    (
        Reason(
            "run-ended",
            "The run has ended, so nothing can be ordered of it any more.",
            "`twinsite runs show RUN` says what it left. If the new site became primary by it, `runs retry` "
            "goes on with it in another run; else order a new move if one is wanted.",
        ),
        Reason(
            "run-overtaken",
            "Another run of the service came after the one that is to be gone on with.",
            "See whose it is now: `twinsite explain SERVICE`; go on with the later run, or plan anew.",
        ),
        Reason(
            "run-before-claim",
            "The run ended before the new site had become primary: there is nothing moved to go on with.",
            "Mend the cause, then plan it anew: `twinsite plan VERB SERVICE`. Steps with `unless` that are "
            "so already are not carried out again.",
        ),
        Reason(
            "run-ending",
            "Somebody has ordered its end already, or what was done is being taken back.",
            "Follow it: `twinsite runs show RUN`. Only abort stops an undo.",
        ),
        Reason(
            "steered-meanwhile",
            "Somebody else ordered something of this run that you had not seen.",
            "Look again with `twinsite runs show RUN`, and order anew if it is still wanted.",
        ),
        Reason(
            "too-many-orders",
            "The run has had so many orders that no more are taken.",
            "Abort it, and find out why it needs so many.",
        ),
        Reason(
            "reason-missing",
            "The order gives no reason.",
            "Add --reason: whoever looks next reads it.",
        ),
        Reason("run-paused", "The run is paused already.", "Nothing to do; `runs resume` lets it go on."),
        Reason(
            "run-not-paused", "The run is not paused.", "`twinsite runs show RUN` says what it waits for."
        ),
        Reason(
            "unknown-step",
            "The run has no such step.",
            "`twinsite runs show RUN` lists its steps; a step's number does as well as its name.",
        ),
        Reason(
            "step-running",
            "The step is under way, and what it does must not be cut off half way.",
            "Wait for its end or its time limit; `runs pause` keeps others from starting meanwhile.",
        ),
        Reason(
            "step-ended-well",
            "The step has ended well, so there is nothing to repeat, to skip or to say about it.",
            "Look at the others: `twinsite runs show RUN`.",
        ),
        Reason(
            "step-not-failed",
            "The step has not been tried, so there is nothing to try again or to call done.",
            "Its turn comes by itself; `runs skip` leaves it out.",
        ),
        Reason(
            "step-decides-ownership",
            "The step decides who may be primary, and nobody's word can stand in for that.",
            "Retry it when the cause is gone; otherwise abort or undo the run.",
        ),
        Reason(
            "approval-needed",
            "The step waits for approval, which cannot be skipped or called done.",
            "Have it approved: `twinsite runs approve RUN STEP`; or abort.",
        ),
        Reason(
            "approve-own",
            "Whoever ordered a run cannot approve it.",
            "Somebody else approves it, from their own login.",
        ),
        Reason("approved-already", "This person has approved it already.", "Another person is needed."),
        Reason(
            "role-missing",
            "The step asks for a role that this person does not have.",
            "Somebody with that role does it; roles stand under `access.roles` in sites.yaml.",
        ),
        Reason(
            "owner-wrong",
            "The step asks for the staff of another owner.",
            "Somebody who answers to that owner does it, usually at their own site.",
        ),
        Reason(
            "evidence-missing",
            "The step asks for something to be typed in as evidence, and nothing was.",
            "Add --evidence with what is asked for.",
        ),
        Reason(
            "run-not-under-way",
            "The run stands still: nobody carries it out at this moment, so nobody can follow the order.",
            "It goes on by itself once its controller may act again; `twinsite runs show RUN` says why it "
            "stopped.",
        ),
        Reason(
            "steer-there",
            "The run is carried out at the other site, and the store cannot be reached to hand the order on.",
            "Type the same command at that site's controller.",
        ),
        Reason(
            "order-unanswered",
            "The order was handed to the other site and not answered in time; it was taken back where it "
            "could be.",
            "Look with `twinsite runs show RUN` whether it counts; its controller may be down: `runs adopt`.",
        ),
        Reason(
            "order-too-late",
            "The order was put to a controller that was not there; when it came back, the order was old.",
            "Look again with `twinsite runs show RUN`, and order anew if it is still wanted.",
        ),
        Reason(
            "adopted",
            "Another controller has adopted the run, so this one does nothing more about it.",
            "Steer it there: `twinsite runs show RUN` says where.",
        ),
        Reason(
            "executor-alive",
            "The controller that carries the run out is there, so nobody else may.",
            "Steer it from here: it hears every order; `runs abort` ends it.",
        ),
        Reason(
            "not-to-be-adopted",
            "This run cannot be gone on with from here, by the rules of ownership.",
            "The message says what helps instead.",
        ),
        Reason(
            "role-unknown",
            "A step asks for a role or an owner that sites.yaml does not name.",
            "Name it there, or mend the runbook.",
        ),
    ),
)

REQUESTS = ReasonGroup(
    "Requests and runs",
    (
        Reason(
            "driver-missing",
            "This kind of service is only watched: twinsite does not know yet how to move it.",
            "Move it by its own tools; `twinsite config check` says which driver is missing.",
        ),
        Reason(
            "word-missing",
            "The move needs a word of the service's driver that no command was given for.",
            "Give the command in sites.yaml: `twinsite driver check SERVICE` names those that are missing.",
        ),
        Reason(
            "ask-the-survivor",
            "A failover is ordered at the site that is to take over, and this is another one.",
            "Ask that site's controller: on its host, or with `twinsite --site SITE failover SERVICE`.",
        ),
        Reason(
            "handed-over",
            "Nobody is primary at this moment: it was given up and not claimed yet.",
            "Wait a moment, or claim it: `twinsite failover SERVICE`.",
        ),
        Reason(
            "moving",
            "Another run is moving the service at this moment.",
            "Follow that run (`twinsite runs show ID`); ask again when it has ended.",
        ),
        Reason(
            "changed-since-plan",
            "The service's ownership has changed since the plan was made.",
            "Ask for the plan again and read it again.",
        ),
        Reason(
            "plan-unknown",
            "The controller does not know this plan: it was too old, used already, or made by another one.",
            "Ask for the plan again.",
        ),
        Reason(
            "plan-invalid",
            "The runbook cannot be carried out for this service, these hosts or this driver.",
            "Mend what the message names; `twinsite config check` finds the same before it is needed.",
        ),
        Reason(
            "store-busy",
            "The store's records changed again and again while this was being written.",
            "Ask again; if it goes on, look for a second controller of the same site.",
        ),
        Reason(
            "run-over",
            "The run has ended and holds the service no longer.",
            "Look at how it ended: `twinsite runs show ID`.",
        ),
        Reason(
            "nothing-to-acknowledge",
            "Nothing waits for somebody to look at it: no unplanned move, nothing that people were told of.",
            "Nothing to do.",
        ),
        Reason(
            "nobody-to-tell",
            "The estate file names no receiver under `notify`, so nobody is told of anything.",
            "Name one (docs/paging.md), then `twinsite config check`, and start the controllers anew.",
        ),
        Reason(
            "unknown-receiver",
            "There is no receiver of that name under `notify` in the estate file.",
            "`twinsite notify list` lists them all.",
        ),
        Reason(
            "not-confirmed",
            "The name that was typed is not the name of the site asked for, so nothing was done.",
            "Read the plan again and type the site's name exactly.",
        ),
        Reason(
            "unknown-service",
            "There is no service of that name in the estate file.",
            "`twinsite status` lists them all.",
        ),
        Reason(
            "unknown-site",
            "There is no site of that name in the estate file, or it does not run this service.",
            "`twinsite status` lists them all.",
        ),
        Reason(
            "unknown-run",
            "The controller knows no run of that name.",
            "`twinsite runs` lists them; the other site's controller may know it.",
        ),
        Reason(
            "internal-fault",
            "The controller failed to answer; that is a fault of twinsite, and nothing is known to be done.",
            "Read the controller's log, look at `twinsite status`, and ask again.",
        ),
        Reason(
            "unknown-ask",
            "The keeper was asked something that its version does not know.",
            "Restart the controller and its keeper so that both are of the same version.",
        ),
        Reason(
            "wrong-request",
            "The request does not make sense as it was sent.",
            "The message says what is wrong with it; `--help` shows an example.",
        ),
    ),
)
