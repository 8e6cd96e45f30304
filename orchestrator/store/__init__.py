"""The compare-and-set store: its small interface, etcd, and an in-memory one with virtual time."""
