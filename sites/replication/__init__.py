"""One module or package per replication driver, and the words every driver speaks."""
