"""The codes of refusals about certificates: of death, of broken glass, of the other site, and reconciling.
Pure: a table; `orchestrator.core.reasons` puts it together with the others."""

from orchestrator.core.reason import Reason, ReasonGroup

CERTIFICATES = ReasonGroup(
    "Certificates and broken glass",
    (
        Reason(
            "peer-answers",
            "The site that is to be certified as off has answered a moment ago, so it is not off.",
            "Wait for it; or make sure that its controller and its hosts are off, then ask again.",
        ),
        Reason(
            "peer-broke-glass",
            "The last that was heard of the other site is that glass was broken there: it has accepted "
            "writes that are not here.",
            "Reconcile there; if that site is lost for good, `certify SITE --down --accept-broken-glass`.",
        ),
        Reason(
            "word-not-needed",
            "This site waits for nobody's word, so there is nothing to certify.",
            "Use `twinsite failover SERVICE`; `twinsite status` says what a service waits for.",
        ),
        Reason(
            "certificate-unknown",
            "No certificate of that name waits here: it was used, forgotten, or drawn up at another site.",
            "Look with `twinsite history`; order it again, which draws up a new one.",
        ),
        Reason(
            "certificate-missing",
            "A runbook that makes a site primary is run by hand, and nobody has certified the other down.",
            "Have an operator make one: `twinsite certify SITE --down --offline FILE`; hand it in as "
            "`--certificate FILE`.",
        ),
        Reason(
            "certificate-expired",
            "The certificate was drawn up more than 15 minutes ago; what it states may not be so any more.",
            "Order it again, which draws up a new one.",
        ),
        Reason(
            "certificate-of-another",
            "A certificate counts by the word of whoever drew it up, and that was somebody else.",
            "Let that person go on, or order it yourself.",
        ),
        Reason(
            "second-person-missing",
            "The estate asks for a second person, and nobody has agreed yet.",
            "Have somebody else run `twinsite certify approve ID`, from their own login.",
        ),
        Reason(
            "second-person-same",
            "Whoever drew the certificate up cannot be the second person too.",
            "Have somebody else run `twinsite certify approve ID`, from their own login.",
        ),
        Reason(
            "nothing-to-approve",
            "The estate asks for no second person for this certificate.",
            "Nothing to do; it counts when whoever drew it up goes on.",
        ),
        Reason(
            "signature-missing",
            "The estate names operators who sign certificates, and this one is not signed.",
            "Order it with `--key FILE`, the private key of one of them.",
        ),
        Reason(
            "signature-unknown",
            "The signature is not that of an operator whose public key stands in the estate file.",
            "Use the key of one of `access.operators`; or put the public key there, at all sites.",
        ),
        Reason(
            "not-on-file",
            "The certificate could not be put on file, and what is not on file does not count.",
            "Make room in the state directory, or mend its rights; then order it again.",
        ),
        Reason(
            "report-not-ours",
            "What is to be countersigned does not agree with what this controller knows of the run.",
            "Draw the report up anew: `twinsite report RUN`; compare both.",
        ),
        Reason(
            "report-not-signed",
            "This controller has no certificate that it could sign a report with, or cannot read it.",
            "`twinsite certs show` says what is where; `sites.SITE.tls` names it.",
        ),
        Reason(
            "nothing-to-reconcile",
            "The service is not served under a certificate at this site.",
            "`twinsite status` says where glass was broken: reconcile at that site.",
        ),
        Reason(
            "peer-not-fenced",
            "The other site's controller is back, and nobody has seen that its instance is closed.",
            "Mend the link, so that it can be seen from here; or switch that site's controller off again.",
        ),
    ),
)
