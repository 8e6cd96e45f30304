"""What is asked and told about reports.

POST /v1/runs/{run}/report     -> ReportAnswer                        (draws it up and signs it)
GET  /v1/runs/{run}/chain      -> ChainStatus
POST /v1/countersign           CountersignRequest -> ReportAnswer     (`html` is empty)
"""

from pydantic import Field

from orchestrator.api.shapes import Shape


class SignatureStatus(Shape):
    """One controller's signature under a report: `certificate` in PEM, `value` in base64."""

    site: str = Field(max_length=200)
    at: str = Field(max_length=100)
    certificate: str = Field(max_length=20_000)
    value: str = Field(max_length=4_000)


class ReportAnswer(Shape):
    """A report, whole in one HTML file. `signed_by`: the sites whose controllers have signed it; `problem`:
    why not both have."""

    run: str
    html: str
    signed_by: list[str]
    problem: str = ""
    signatures: list[SignatureStatus] = []


class ChainStatus(Shape):
    """A run's chain as one site's journal has it now: a link for each record. `sealed_records`,
    `sealed_head`: as it was when the run ended, null and empty where that is not on file. `problem`: what is
    wrong with the seals."""

    run: str
    site: str
    links: list[str]
    sealed_records: int | None
    sealed_head: str
    problem: str = ""


class CountersignRequest(Shape):
    """What was signed, and by whom it has been."""

    statement: str = Field(max_length=100_000)
    signatures: list[SignatureStatus] = Field(max_length=10)
