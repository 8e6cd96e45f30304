"""The errors of the lab.

OrchestratorMisuse
└── LabMisuse          no such lab, no such site, a directory that cannot be used
OrchestratorTrouble
└── LabTrouble         a server did not start, or something did not do its part
    └── StoryFailed    what a story waited for did not come in time; says what, and where the logs are
"""

from orchestrator.errors import OrchestratorMisuse, OrchestratorTrouble


class LabMisuse(OrchestratorMisuse):
    """You asked wrongly; the message says what is there and what to do."""


class LabTrouble(OrchestratorTrouble):
    """A server or process of the lab did not do its part."""


class StoryFailed(LabTrouble):
    """What had to come did not come in time."""
