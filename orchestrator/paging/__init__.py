"""Telling people: what is worth a message, to whom and when (pure), and the ways out."""
