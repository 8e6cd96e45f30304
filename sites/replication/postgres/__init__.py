"""The replication driver for PostgreSQL 13 to 18, streaming replication, one primary and one standby."""
