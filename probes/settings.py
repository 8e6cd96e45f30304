"""The building blocks of the kinds' own settings: values given per site, patterns, addresses.

Values and their checks only; nothing here connects, reads files or knows the time.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import GenericAlias
from typing import Annotated, Any, ClassVar, Generic, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from probes.errors import SettingsInvalid
from sites.addresses import no_address
from sites.model import Host, Name, Site

T = TypeVar("T")


class ProbeSettings(BaseModel):
    """Root of every kind's settings: frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PerSite(Generic[T]):
    """A setting written once for all sites (`url: x`) or per site (`url: {durham: x, morpeth: y}`).

    Not a dataclass: pydantic would read its fields instead of asking it for its schema.
    """

    __slots__ = ("by_site", "everywhere")

    def __init__(self, everywhere: T | None, by_site: tuple[tuple[str, T], ...] = ()) -> None:
        self.everywhere = everywhere
        self.by_site = by_site

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PerSite):
            return NotImplemented
        return (self.everywhere, self.by_site) == (other.everywhere, other.by_site)

    def __hash__(self) -> int:
        return hash((self.everywhere, self.by_site))

    def __repr__(self) -> str:
        return f"PerSite({self.everywhere!r}, {self.by_site!r})"

    def at(self, site: str) -> T:
        """The value at `site`. Raises SettingsInvalid when it was given per site and not for this one."""
        if self.everywhere is not None:
            return self.everywhere
        for name, value in self.by_site:
            if name == site:
                return value
        given = ", ".join(name for name, _ in self.by_site) or "none"
        raise SettingsInvalid(f"no value for site {site} (given for: {given}); add one for {site}")

    @property
    def values(self) -> tuple[T, ...]:
        """Every value given."""
        if self.everywhere is not None:
            return (self.everywhere,)
        return tuple(value for _, value in self.by_site)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Accept either spelling; a fault names the place inside the setting without any union tags."""
        (item,) = get_args(source)
        one: TypeAdapter[Any] = TypeAdapter(item)
        keyed: Any = GenericAlias(dict, (Name, item))
        many: TypeAdapter[dict[str, Any]] = TypeAdapter(keyed)

        def validate(value: Any) -> "PerSite[Any]":
            if isinstance(value, PerSite):
                return value
            if isinstance(value, Mapping):
                return cls(None, tuple(many.validate_python(dict(value)).items()))
            return cls(one.validate_python(value))

        def describe(_schema: core_schema.CoreSchema, _handler: Any) -> JsonSchemaValue:
            return {"anyOf": [one.json_schema(), many.json_schema()]}

        return core_schema.no_info_plain_validator_function(
            validate,
            metadata={"pydantic_js_functions": [describe]},
            serialization=core_schema.plain_serializer_function_ser_schema(_dump),
        )


def _dump(value: PerSite[Any]) -> Any:
    return value.everywhere if value.everywhere is not None else dict(value.by_site)


def one_or_many(*items: dict[str, Any]) -> WithJsonSchema:
    """What editors are told of a setting that takes one of these items, or a list of them."""
    return WithJsonSchema({"anyOf": [*items, {"type": "array", "items": {"anyOf": [*items]}}]})


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"expected a regular expression: {error}") from error
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]


def _checked_port(port: int) -> int:
    if not 1 <= port <= 65535:
        raise ValueError("expected a port from 1 to 65535")
    return port


Port = Annotated[int, AfterValidator(_checked_port)]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect: a name or an IP address without brackets, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """The endpoint in `db.example:5432` or `[::1]:5432`. Raises ValueError with what is expected."""
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or not port.isdecimal() or (":" in bare and bare == host):
        raise ValueError("expected address:port, such as 10.20.1.10:5432, db.example:5432 or [::1]:5432")
    if no_address(bare):
        raise ValueError(f"expected an IP address or a name before the port; {bare} is neither")
    return Endpoint(bare, _checked_port(int(port)))


def _is_endpoint(text: str) -> str:
    parse_endpoint(text)
    return text


class Reach(ProbeSettings):
    """Where the target is: `address` (address:port), or `host` (a host of the site) with `port`."""

    default_port: ClassVar[int | None] = None

    address: PerSite[Annotated[str, AfterValidator(_is_endpoint)]] | None = Field(
        None, description="where the target is, as address:port"
    )
    host: PerSite[Name] | None = Field(None, description="the host of the site on which the target is")
    port: Port | None = Field(None, description="the target's port on `host`")

    @model_validator(mode="after")
    def _one_way(self) -> "Reach":
        if (self.address is None) == (self.host is None):
            raise ValueError("expected either `address` (address:port) or `host` (a host of the site)")
        if self.address is not None and self.port is not None:
            raise ValueError("`port` goes with `host`; an `address` has its own port in it")
        if self.host is not None and self.port is None and self.default_port is None:
            raise ValueError("`port` is missing; it goes with `host`")
        return self

    def endpoint(self, site: Site) -> Endpoint:
        """Where the target is at `site`. Raises SettingsInvalid for a missing site or host."""
        if self.address is not None:
            return parse_endpoint(self.address.at(site.name))
        port = self.port or self.default_port
        assert self.host is not None  # both by _one_way
        assert port is not None
        return Endpoint(host_of(self.host, site).address, port)


def host_of(host: PerSite[str], site: Site) -> Host:
    """The host of `site` that the setting names. Raises SettingsInvalid."""
    name = host.at(site.name)
    if name not in site.hosts:
        known = ", ".join(sorted(site.hosts)) or "none"
        raise SettingsInvalid(f"site {site.name} has no host {name!r} (it has: {known})")
    return site.hosts[name]
