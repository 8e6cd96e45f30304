"""Drills and evidence: was it rehearsed, in time, and did what was measured meet what was promised."""


