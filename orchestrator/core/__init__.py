"""The pure part: ownership, view, diagnosis, decision. No I/O and no clock of its own."""
