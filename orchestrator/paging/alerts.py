"""An event as an alert of Alertmanager. Pure.

Both controllers give the same labels to the same event, so that Alertmanager itself knows it for one.
"""

from orchestrator.paging.event import Event
from orchestrator.paging.message import acknowledge_command, link_to
from orchestrator.paging.ways import Alert


def alert_of(event: Event, starts_at: float, docs_url: str | None) -> Alert:
    """Labels say what it is and route it; annotations are for people."""
    labels = {
        "alertname": "Twinsite" + "".join(part.title() for part in event.topic.split("-")),
        "severity": str(event.severity),
        "service": event.service,
        "site": event.site,
        "event": event.key,
    }
    annotations = {
        "summary": event.headline,
        "description": event.what,
        "where": event.where,
        "loss": event.loss,
        "command": event.command,
        "acknowledge": acknowledge_command(event),
        "runbook_url": link_to(event.page, docs_url),
    }
    return Alert(
        labels={key: value for key, value in labels.items() if value},
        annotations={key: value for key, value in annotations.items() if value},
        starts_at=starts_at,
    )
