"""Drills: when they are due, whether they may begin, how they are carried out, and what is known of them.

`blackouts`, `calendar`, `interlocks` and `records` are pure; `desk` begins, abandons and cleans up.
"""
