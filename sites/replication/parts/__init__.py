"""A service of several parts that move together: each replicated by a driver of its own."""
