"""Who decides: ownership, diagnosis, decision, and the processes that carry them out."""

PRODUCT = "twinsite 0.1.0"
