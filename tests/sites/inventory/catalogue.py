"""A driver and a kind of probe of the tests' own, and how their files are loaded."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from sites.inventory import Loaded, load_estate
from sites.model import Estate, Service

HERE = Path(__file__).parent


class Pair(BaseModel):
    """Settings of the driver `pair`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str
    synchronous: bool = False
    lazy: bool = False

    @model_validator(mode="after")
    def _either(self) -> "Pair":
        if self.synchronous and self.lazy:
            raise ValueError("`lazy` and `synchronous` exclude each other; leave one out")
        return self

    def check(self, estate: Estate, service: Service) -> Iterator[tuple[tuple[str, ...], str, str]]:
        """The host must exist at both sites."""
        for site in service.sites:
            if self.host not in estate.sites[site].hosts:
                known = ", ".join(estate.sites[site].hosts)
                yield ("host",), f"'{self.host}'", f"a host of {site} (it has: {known})"
                return


class Tcp(BaseModel):
    """Settings of the probe kind `tcp`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str
    port: int

    def check(self, estate: Estate, service: Service) -> Iterator[tuple[tuple[str, ...], str, str]]:
        """The host must exist at home."""
        hosts = estate.sites[service.home].hosts
        if self.host not in hosts:
            yield ("host",), f"'{self.host}'", f"a host of {service.home} (it has: {', '.join(hosts)})"


def load(path: Path, **options: Any) -> Loaded:
    """The estate of the file, with the tests' driver and kind of probe."""
    return load_estate(path, probe_settings={"tcp": Tcp}, driver_settings={"pair": Pair}, **options)
