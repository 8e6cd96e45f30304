"""How a person's order is refused: an exception that carries the refusal to show."""

from orchestrator.api.shapes import Refusal


class OrderRefused(Exception):
    """No, with the refusal to show. `wrong`: the request itself makes no sense."""

    def __init__(
        self, code: str, message: str, evidence: list[str] | None = None, *, wrong: bool = False
    ) -> None:
        super().__init__(message)
        self.refusal = Refusal(code=code, message=message, evidence=evidence or [])
        self.wrong = wrong
