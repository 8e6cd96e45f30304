"""Fencing: the guard, fence agents, certificates."""
