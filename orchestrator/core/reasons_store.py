"""The codes of a store that is not the one we knew, and of accepting it (P33). Pure: a table;
`orchestrator.core.reasons` puts it together with the others."""

from orchestrator.core.reason import Reason, ReasonGroup

STORE = ReasonGroup(
    "The store's identity",
    (
        Reason(
            "store-restored",
            "The store went back in time: it was restored from a backup, wiped, or edited by other means.",
            "`twinsite store status` shows what is known and found; then `twinsite store accept`.",
        ),
        Reason(
            "store-other-cluster",
            "Another store answers than the one that was known: a new cluster, or wrong endpoints.",
            "Correct `store.endpoints` if they are wrong; then, either way, `twinsite store accept`.",
        ),
        Reason(
            "store-memory-unreadable",
            "What this site had seen of the store cannot be read, so nobody can tell whether it is the same.",
            "`twinsite store status`; then `twinsite store accept`, which sets the file aside.",
        ),
        Reason(
            "store-trusted",
            "The store is the one that was known all along, so there is nothing to accept.",
            "Nothing to do.",
        ),
        Reason(
            "owner-unknown",
            "Nobody who answers knows who owned the service last.",
            "Find out at which site its database was written to last, and name it: `--owner SERVICE=SITE`.",
        ),
        Reason(
            "owner-serves",
            "The service may be open at a site that answers, and another would be certified as its owner.",
            "Name the site where it is open; move it afterwards: `twinsite switchover SERVICE`.",
        ),
        Reason(
            "glass-broken-there",
            "A certificate has opened it at the other site, whose disk must first know that it ends.",
            "Accept the store at that site first, naming it as the owner: `--owner SERVICE=SITE`; then here.",
        ),
        Reason(
            "owner-certified",
            "The other site has accepted this store already, and certified another owner there.",
            "Accept without naming an owner; move it afterwards: `twinsite switchover SERVICE`.",
        ),
        Reason(
            "not-the-last-owner",
            "A certificate says who owned a service last; it does not move one here past the gates.",
            "Accept it as it was; then `twinsite failover SERVICE`, `--certify-down` if that site is off.",
        ),
    ),
)
