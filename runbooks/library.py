"""Find runbooks by name, and read them: YAML to `Runbook`, every fault with its line, all at once.

Folders are searched in the order given, then the runbooks that ship with the package. Reading never
carries anything out and needs no estate: what depends on a service or its hosts is `runbooks.plan`'s.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import BaseModel, ValidationError

from runbooks.catalogue import ActionCatalogue
from runbooks.checks import findings_in
from runbooks.errors import RunbooksMisuse, RunbookUnknown
from runbooks.expand import NESTING_LIMIT
from runbooks.marks import NamesFile, NamesRunbook, TakesSecrets, key_of
from runbooks.model import Runbook, Step
from runbooks.shipped import FileUnusable, read_shipped
from runbooks.templates import is_template
from runbooks.typed_secrets import hidden
from sites.faults import Fault, findings_of, sorted_faults
from sites.marks import Document, Finding, Trail, nearest, read_document
from sites.shape import file_keys, model_at

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
        """The runbook in a text, with the runbooks and files that its steps name; `file` is what messages
        call it, and files beside it are looked for there. Raises RunbookInvalid."""
        return Reader(self).parse(text, file=file, name=name)

    def has(self, name: str) -> bool:
        """Whether there is a runbook of that name."""
        return any((folder / f"{name}.yaml").is_file() for folder in self.searched)


@dataclass(frozen=True, slots=True)
class Reader:
    """One reading: `chain` are the runbooks that are being read, outermost first."""

    library: Library
    chain: tuple[str, ...] = ()
    known: dict[str, Runbook] = field(default_factory=dict)

    def parse(self, text: str, *, file: str, name: str) -> Runbook:
        """See `Library.parse`."""
        document = hidden(read_document(text))
        runbook, findings = _read(document, self.library.catalogue)
        inverse = document.data.get("inverse") if isinstance(document.data, dict) else None
        if isinstance(inverse, str) and _NAME.match(inverse) and not self._knows(inverse, name):
            missing = f"no runbook {inverse!r}"
            wanted = "the name of a runbook that there is"
            findings.append(Finding(("inverse",), wanted, missing, code="unknown-inverse"))
        nested: dict[str, Runbook] = {}
        files: dict[str, str] = {}
        for at, key, value in named_in(document, self.library.catalogue, NamesRunbook):
            findings += self._nested((*at, key), value, name, nested)
        for at, key, value in named_in(document, self.library.catalogue, NamesFile):
            findings += _shipped((*at, key), value, Path(file).parent, files)
        if runbook is None or findings:
            raise RunbookInvalid(sorted_faults(findings, document, file))
        digest = hashlib.sha256(text.encode()).hexdigest()
        filled_in = {"name": name, "file": file, "source_sha256": digest, "nested": nested, "files": files}
        return runbook.model_copy(update=filled_in)

    def _knows(self, wanted: str, itself: str) -> bool:
        return wanted == itself or self.library.has(wanted)

    def _nested(self, at: Trail, wanted: str, name: str, into: dict[str, Runbook]) -> Iterator[Finding]:
        chain = (*self.chain, name)
        if wanted in chain:
            shown = " → ".join((*chain[chain.index(wanted) :], wanted))
            yield Finding(at, "runbooks that come to an end", f"a circle: {shown}", code="runbook-circle")
            return
        if len(chain) > NESTING_LIMIT:
            shown = " → ".join((*chain, wanted))
            said = f"{len(chain)} runbooks one in another: {shown}"
            yield Finding(at, f"at most {NESTING_LIMIT}", said, code="nested-too-deep")
            return
        try:
            if wanted not in self.known:
                path = self.library.find(wanted)
                inner = Reader(self.library, chain, self.known)
                self.known[wanted] = inner.parse(self.library.read(path), file=str(path), name=wanted)
            into[wanted] = self.known[wanted]
        except RunbookUnknown as unknown:
            guess = nearest(wanted, self.library.names())
            there_is = f"perhaps {guess!r}" if guess else "the name of a runbook that there is"
            found = f"no runbook {wanted!r}" if not self.library.has(wanted) else str(unknown)
            yield Finding(at, there_is, found, code="unknown-runbook")
        except RunbookInvalid as invalid:
            first = invalid.faults[0]
            circle = next((one for one in invalid.faults if one.code in _THROUGH), None)
            if circle is not None:
                yield Finding(at, circle.expected, circle.found, code=circle.code)
                return
            more = f", and {len(invalid.faults) - 1} more" if len(invalid.faults) > 1 else ""
            said = f"{wanted}, which has a fault: {first.render().splitlines()[0]}{more}"
            yield Finding(at, "a runbook that is sound", said, code="nested-fault")


_THROUGH = frozenset({"runbook-circle", "nested-too-deep"})
"""Faults that are those of a chain, not of the runbook in which it was noticed."""


def named_in(document: Document, catalogue: ActionCatalogue, mark: type) -> Iterator[tuple[Trail, str, str]]:
    """Every text of a step with such a mark: the way to the step, the key, and the text."""
    data = document.data if isinstance(document.data, dict) else {}
    steps = data.get("steps")
    for index, step in enumerate(steps if isinstance(steps, list) else ()):
        word = step.get("action") if isinstance(step, dict) else None
        spec = catalogue.get(word) if isinstance(word, str) else None
        key = key_of(spec.arguments, mark) if spec is not None else None
        value = step.get(key) if key is not None else None
        if key is not None and isinstance(value, str) and not is_template(value):
            yield ("steps", index), key, value


def _shipped(at: Trail, path: str, folder: Path, into: dict[str, str]) -> Iterator[Finding]:
    try:
        into[path] = read_shipped(folder, path)
    except FileUnusable as fault:
        code = "script-missing" if fault.missing else "script-unusable"
        yield Finding(at, fault.expected, fault.found, code=code)


def _read(document: Document, catalogue: ActionCatalogue) -> tuple[Runbook | None, list[Finding]]:
    findings = [replace(finding, code="broken-yaml") for finding in document.findings]
    findings += [
        Finding(
            secret.trail,
            "no secrets here: hosts keep their own (`headers` of a request may name one)",
            f"the secret {secret.text}",
            code="secret-named",
        )
        for secret in document.secrets
        if not _may_stand(secret.trail, document, catalogue)
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


def _may_stand(trail: Trail, document: Document, catalogue: ActionCatalogue) -> bool:
    """Whether a secret may be named there: beneath a key that takes them, of an action or of a question."""
    if len(trail) < 3 or trail[0] != "steps":
        return False
    step = document.data["steps"][trail[1]]
    word = step.get("action") if isinstance(step, dict) else None
    spec = catalogue.get(word) if isinstance(word, str) else None
    model: type[BaseModel] | None = Step if trail[2] in file_keys(Step) else spec.arguments if spec else None
    return model is not None and any(
        (owner := model_at(model, trail[2:end])) is not None
        and (info := file_keys(owner).get(str(trail[end]))) is not None
        and any(isinstance(note, TakesSecrets) for note in info.metadata)
        for end in range(2, len(trail))
    )


def _whole(path: Path, found: str, expected: str) -> Fault:
    return Fault(str(path), 0, 0, "", found, expected, "", "unreadable")
