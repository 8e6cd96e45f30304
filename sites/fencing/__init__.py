"""Cutting a host off: the guard, fence agents, break-glass certificates."""
