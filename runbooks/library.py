"""Find runbooks by name, and read them: YAML to `Runbook`, every fault with its line, all at once.

Folders are searched in the order given, then the runbooks that ship with the package. Reading never
carries anything out and needs no estate: what depends on a service or its hosts is `runbooks.plan`'s.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from runbooks.catalogue import ActionCatalogue
from runbooks.checks import findings_in
from runbooks.errors import RunbooksMisuse, RunbookUnknown
from runbooks.model import Runbook
from runbooks.typed_secrets import hidden
from sites.faults import Fault, findings_of, sorted_faults
from sites.marks import Document, Finding, nearest, read_document

SHIPPED = Path(__file__).parent
FILE_LIMIT_BYTES = 1024 * 1024
NAMES_LIMIT = 2000

_NAME = re.compile(r"^[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)*$")


class RunbookInvalid(RunbooksMisuse):
    """A runbook file has faults; every one of them is in `faults`, in the order of the file."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(fault.render() for fault in self.faults))


@dataclass(frozen=True, slots=True)
class Library:
    """Where runbooks are looked for, and the words their steps may use."""

    catalogue: ActionCatalogue
    folders: tuple[Path, ...] = ()

    @property
    def searched(self) -> tuple[Path, ...]:
        """Every folder, the shipped runbooks last."""
        return (*self.folders, SHIPPED)

    def names(self) -> list[str]:
        """The names of all runbooks there are, sorted, at most NAMES_LIMIT."""
        found: set[str] = set()
        for folder in self.searched:
            for path in sorted(folder.glob("**/*.yaml"))[:NAMES_LIMIT]:
                name = path.relative_to(folder).with_suffix("").as_posix()
                if _NAME.match(name):
                    found.add(name)
        return sorted(found)[:NAMES_LIMIT]

    def find(self, name: str) -> Path:
        """The file of that name. Raises RunbookUnknown with what there is."""
        if _NAME.match(name):
            for folder in self.searched:
                path = folder / f"{name}.yaml"
                if path.is_file():
                    return path
        names = self.names()
        guess = nearest(name, names)
        there_is = f"perhaps {guess}" if guess else f"there are {', '.join(names[:20]) or 'none'}"
        folders = ", ".join(str(folder) for folder in self.folders)
        looked = f"in {folders} or among those shipped" if folders else "among those shipped"
        none = "" if folders else ", and no folder of your own is searched (`runbook_path`)"
        raise RunbookUnknown(
            f"no runbook {name!r} {looked}{none}; {there_is} "
            "(a name is its path below the folder, without .yaml)"
        )

    def load(self, name: str) -> Runbook:
        """The runbook of that name. Raises RunbookUnknown or RunbookInvalid."""
        return self.load_file(self.find(name), name)

    def load_file(self, path: Path, name: str = "") -> Runbook:
        """The runbook in a file. Raises RunbookUnknown when it cannot be read, RunbookInvalid."""
        return self.parse(self.read(path), file=str(path), name=name or path.stem)

    def name_of(self, path: Path) -> str:
        """What a file is called: its path below the first folder that is searched and holds it, else its own
        name without .yaml."""
        whole = path.resolve()
        for folder in self.searched:
            if whole.is_relative_to(folder.resolve()):
                name = whole.relative_to(folder.resolve()).with_suffix("").as_posix()
                if _NAME.match(name):
                    return name
        return path.stem

    @staticmethod
    def read(path: Path) -> str:
        """The text of a file. Raises RunbookUnknown when it cannot be read, RunbookInvalid."""
        try:
            with path.open("rb") as file:
                raw = file.read(FILE_LIMIT_BYTES + 1)
        except OSError as error:
            raise RunbookUnknown(
                f"{path}: cannot be read: {error.strerror}; check the path and its rights"
            ) from error
        if len(raw) > FILE_LIMIT_BYTES:
            raise RunbookInvalid([_whole(path, f"more than {FILE_LIMIT_BYTES} bytes", "a smaller runbook")])
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            where = f"bytes that are no UTF-8 (the first at byte {error.start})"
            raise RunbookInvalid([_whole(path, where, "a text in UTF-8")]) from error

    def parse(self, text: str, *, file: str, name: str) -> Runbook:
        """The runbook in a text; `file` is what messages call it. Raises RunbookInvalid."""
        document = hidden(read_document(text))
        runbook, findings = _read(document, self.catalogue)
        inverse = document.data.get("inverse") if isinstance(document.data, dict) else None
        if isinstance(inverse, str) and _NAME.match(inverse) and not self._has(inverse, name):
            missing = f"no runbook {inverse!r}"
            wanted = "the name of a runbook that there is"
            findings.append(Finding(("inverse",), wanted, missing, code="unknown-inverse"))
        if runbook is None or findings:
            raise RunbookInvalid(sorted_faults(findings, document, file))
        digest = hashlib.sha256(text.encode()).hexdigest()
        return runbook.model_copy(update={"name": name, "file": file, "source_sha256": digest})

    def _has(self, name: str, itself: str) -> bool:
        return name == itself or any((folder / f"{name}.yaml").is_file() for folder in self.searched)


def _read(document: Document, catalogue: ActionCatalogue) -> tuple[Runbook | None, list[Finding]]:
    findings = [replace(finding, code="broken-yaml") for finding in document.findings]
    findings += [
        Finding(
            secret.trail,
            "no secrets in a runbook: hosts keep their own",
            f"the secret {secret.text}",
            code="secret-named",
        )
        for secret in document.secrets
    ]
    if document.data is None:
        if not findings:
            wanted = "a runbook: runbook, title, steps"
            findings.append(Finding((), wanted, "an empty file", code="missing-key"))
        return None, findings
    runbook = None
    try:
        runbook = Runbook.model_validate(document.data)
    except ValidationError as error:
        findings += findings_of(error, document, Runbook)
    findings += findings_in(document, catalogue)
    return runbook, findings


def _whole(path: Path, found: str, expected: str) -> Fault:
    return Fault(str(path), 0, 0, "", found, expected, "", "unreadable")
