"""The command `twinsite`. One file per group of commands; `group` puts them together.

Here only what must happen before anything of the four packages is used: to see that all four are ours.
"""

import importlib
import sys

PACKAGES = ("sites", "probes", "runbooks", "orchestrator")


def foreign_packages() -> list[str]:
    """What is wrong with the four packages, a line each. Their names are ones that another distribution
    could have too, and then it has been installed over ours, or ours was updated in part."""
    ours = getattr(importlib.import_module("orchestrator"), "PRODUCT", None)
    findings = []
    for name in PACKAGES:
        try:
            package = importlib.import_module(name)
        except ImportError as fault:
            findings.append(f"package {name}: cannot be imported ({fault})")
            continue
        theirs = getattr(package, "PRODUCT", None)
        if theirs != ours:
            where = getattr(package, "__file__", None) or "a folder without code"
            findings.append(f"package {name} at {where}: says {theirs!r}, expected {ours!r}")
    return findings


def main() -> None:
    """The console script. Ends the process with the exit codes of `orchestrator.cli.failures`."""
    findings = foreign_packages()
    if findings:
        print("twinsite cannot start: its four packages do not belong together.", file=sys.stderr)
        for finding in findings:
            print(f"  {finding}", file=sys.stderr)
        print(
            "Another distribution was installed over it, or an update was left half done. "
            "Install twinsite anew, in an environment of its own.",
            file=sys.stderr,
        )
        sys.exit(2)
    from orchestrator.cli.group import cli

    cli(prog_name="twinsite")
