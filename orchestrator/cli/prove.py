"""Verbs that prove it on this very machine: the lab with its stories, and the benchmark."""

import click

COMMANDS: tuple[click.Command, ...] = ()
