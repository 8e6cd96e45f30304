"""What may be asked over HTTP, and what counts as the answer that was expected: the keys, and the judgement.

Used by the action `http` and by questions (`unless`, `verify`, `check`). Pure: nothing connects here.
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator
from yarl import URL

from probes.http import Redirects, Statuses
from probes.settings import Pattern
from runbooks.marks import TakesSecrets
from runbooks.templates import Manner
from sites.model import Noun
from sites.secrets import is_reference

SAFE_METHODS = frozenset({"GET", "HEAD"})
REPEATABLE_METHODS = SAFE_METHODS | {"PUT", "DELETE"}
_HEADER = re.compile(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")


def _address(text: str) -> str:
    try:
        url = URL(text)
        good = url.scheme in ("http", "https") and bool(url.host) and not _UNPRINTABLE.search(text)
    except ValueError:
        good = False
    if not good:
        raise ValueError("expected an address such as https://crm.example/login, without blanks")
    if url.user or url.password:
        raise ValueError("expected an address without a name and password in it; `headers` take a secret")
    return text


def _headers(given: dict[str, str]) -> dict[str, str]:
    for name, value in given.items():
        if not _HEADER.match(name):
            raise ValueError(f"expected names of headers, such as Authorization; {name!r} is none")
        if "\n" in value or "\r" in value or "\0" in value:
            raise ValueError(f"expected the value of {name} on one line")
    return given


class HttpRequest(Noun):
    """The keys that a request has wherever it stands."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False)

    url: Annotated[str, AfterValidator(_address)] = Field(description="the address to ask")
    host: Annotated[str | None, Manner.HOST] = Field(
        None, description="the host to connect to, whatever the name in `url` resolves to"
    )
    status: Statuses = Field(("2xx",), description="the good statuses, such as 200 or 2xx; one or a list")
    contains: str | None = Field(None, description="text that the answer must contain")
    matches: Annotated[Pattern | None, Manner.VERBATIM] = Field(
        None, description="regular expression that something in the answer matches"
    )
    never_matches: Annotated[Pattern | None, Manner.VERBATIM] = Field(
        None, description="regular expression that nothing in the answer may match"
    )
    redirects: Redirects = Field(Redirects.REFUSE, description="what to do when the answer points elsewhere")
    headers: Annotated[dict[str, str], TakesSecrets(), AfterValidator(_headers)] = Field(
        default_factory=dict, description="further request headers; a value may be !env NAME or !file PATH"
    )
    ca: Annotated[str | None, Manner.VERBATIM] = Field(
        None, description="PEM file of the CA to trust instead of the system's; relative to the estate file"
    )

    @model_validator(mode="after")
    def _secrets_only_where_nobody_listens(self) -> Self:
        if self.url.startswith("http:") and any(is_reference(value) for value in self.headers.values()):
            raise ValueError("expected https: a secret in `headers` could be read by everybody on the way")
        return self

    def accepts(self, status: int) -> bool:
        """Whether this status is one of those expected."""
        return any(wanted in (str(status), f"{status // 100}xx") for wanted in self.status)

    def unlike(self, status: int, answer: str) -> str | None:
        """What is not as expected of an answer, or None."""
        if not self.accepts(status):
            return f"expected {' or '.join(self.status)}"
        if self.contains is not None and self.contains not in answer:
            return f"{self.contains!r} is not in it"
        if self.matches is not None and not re.search(self.matches, answer):
            return f"nothing in it matches {self.matches!r}"
        if self.never_matches is not None and (found := re.search(self.never_matches, answer)):
            return f"it has {found[0]!r}, which it must not have"
        return None


class HttpQuestion(HttpRequest):
    """A page that is asked for, as a question: yes when the answer is as expected. A text is its address."""

    written_short: ClassVar[Manner] = Manner.TEXT

    @model_validator(mode="before")
    @classmethod
    def _text_is_an_address(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value


class HttpDeed(HttpRequest):
    """A request that may change something."""

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = Field("GET", description="how to ask")
    body: str | None = Field(None, description="what is sent, as text")
    json_body: Annotated[Any, BeforeValidator(lambda value: value)] = Field(
        None, alias="json", description="what is sent, as keys with values or a list; sent as JSON"
    )

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.body is not None and self.json_body is not None:
            raise ValueError("expected either `body` or `json`")
        if self.method in SAFE_METHODS and self.sent is not None:
            raise ValueError(f"expected another `method` than {self.method}, which sends nothing")
        if self.method == "HEAD" and (self.contains or self.matches or self.never_matches):
            raise ValueError("expected GET: the answer to HEAD has no text to look at")
        if self.method not in SAFE_METHODS and self.redirects is not Redirects.REFUSE:
            raise ValueError("expected `redirects` with GET or HEAD only: nothing is sent to a second place")
        return self

    @property
    def sent(self) -> str | None:
        """The text that is sent."""
        return self.body if self.json_body is None else json.dumps(self.json_body, ensure_ascii=False)


def changes(arguments: Mapping[str, object]) -> bool:
    """Whether a request with these arguments may change something."""
    return str(arguments.get("method", "GET")) not in SAFE_METHODS


def repeats(arguments: Mapping[str, object]) -> bool:
    """Whether asking twice is the same as once, by what HTTP promises of the method."""
    return str(arguments.get("method", "GET")) in REPEATABLE_METHODS
