"""What we do: runbooks as graphs of steps, planned purely and carried out durably."""

PRODUCT = "twinsite 0.1.0"
