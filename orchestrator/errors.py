"""The root of `orchestrator`'s errors, and its two families: you asked wrongly, or the world misbehaved.

OrchestratorError
├── OrchestratorMisuse
│   ├── UnknownSite         the estate has no such site                                 -> assembly
│   ├── AlreadyRuns         another controller or keeper of this site runs here         -> state_folder
│   ├── ResultNotWritten    the file that --json names cannot be written                -> result_file
│   ├── SocketPathTooLong   a state directory whose sockets the kernel would not take   -> paths
│   └── WrongRequest        the controller could make nothing of the request            -> api.client
├── Refused                 the controller said no, with a code and its evidence        -> api.client
└── OrchestratorTrouble
    ├── ForkRefused         the machine lets no process be started                      -> prefork
    ├── StateUnusable       the state directory cannot be used                          -> state_folder
    ├── MetricsAddressTaken something else listens where /metrics is to be              -> metrics_page
    ├── NobodyAnswers       no controller behind the socket                             -> api.client
    └── AnswerUnreadable    something answered, but not as a controller does            -> api.client
"""


class OrchestratorError(Exception):
    """Root of the errors of `orchestrator`."""


class OrchestratorMisuse(OrchestratorError):
    """You asked wrongly."""


class OrchestratorTrouble(OrchestratorError):
    """The world misbehaved."""
