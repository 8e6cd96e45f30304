"""The local API: HTTP over a Unix socket, for the command and other programs on the controller's host."""
