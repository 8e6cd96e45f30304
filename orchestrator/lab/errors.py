"""The errors of the lab, in two families.

LabError
├── LabMisuse      asked wrongly: no such lab, no such site, a directory that cannot be used
└── LabTrouble     a server did not start, or what had to come did not come in time
    └── StoryFailed    a story could not go on; says what was awaited and where the logs are
"""


class LabError(Exception):
    """Root of the lab's errors; the message says what was found, where, and what to do."""


class LabMisuse(LabError):
    """You asked wrongly."""


class LabTrouble(LabError):
    """A server of the lab did not do its part."""


class StoryFailed(LabTrouble):
    """What had to come did not come in time."""
