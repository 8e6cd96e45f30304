"""For every test: a keyboard's interrupt arrives. A shell that starts a command in the background has it
ignored, and every process started from there would inherit that."""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
