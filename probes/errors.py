"""The errors of `probes`. A sick target is never one of them: that is a result with a reason.

ProbesError
├── ProbesMisuse          a configuration or a call that can never work
│   ├── KindUnknown       `kind:` names no probe
│   └── SettingsInvalid   the probe's own settings do not hold together
└── ProbeBroken           a probe met something that its code has no name for; the patrol shows it as
                          `unknown`, reason `probe-broken`
"""


class ProbesError(Exception):
    """Root of the errors of `probes`."""


class ProbesMisuse(ProbesError):
    """You asked wrongly."""


class KindUnknown(ProbesMisuse):
    """There is no probe of this kind."""


class SettingsInvalid(ProbesMisuse):
    """The settings of a probe are wrong; the message lists every fault."""


class ProbeBroken(ProbesError):
    """The probe itself did not work; says nothing about its target."""
