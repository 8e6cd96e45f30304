"""Loading `sites.yaml`: one file per fault, and everything that is said about it."""
