"""The five dashboards as the files that Grafana reads."""

import json
from collections.abc import Mapping

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from tools.grafana.controller import controller
from tools.grafana.drills import drills
from tools.grafana.glance import glance
from tools.grafana.run import run
from tools.grafana.service import service


def files() -> Mapping[str, str]:
    """By name, the JSON of each."""
    made = {
        "two-sites-at-a-glance.json": glance(),
        "one-service.json": service(),
        "a-run-as-it-goes.json": run(),
        "drills-and-evidence.json": drills(),
        "the-controller-itself.json": controller(),
    }
    return {
        name: json.dumps(board, cls=JSONEncoder, indent=1, ensure_ascii=False) + "\n"
        for name, board in made.items()
    }
