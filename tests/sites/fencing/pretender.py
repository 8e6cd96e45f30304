"""Run as a process: pretends to be a database server that does not let go.

The parent ends at once when it is told to (SIGQUIT); its child goes on writing, as a backend whose parent was
killed does, and takes no notice of any signal that can be ignored.
"""

import ctypes
import os
import signal
import sys
import time


def called(name: bytes) -> None:
    """Be known by that name."""
    ctypes.CDLL(None).prctl(15, name, 0, 0, 0)


def main(folder: str) -> None:
    """Parent and child, in that working directory."""
    os.chdir(folder)
    called(b"pretender")
    if os.fork() == 0:
        for number in (signal.SIGQUIT, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        with open("written", "a", buffering=1) as file:
            while True:
                file.write(f"{time.clock_gettime_ns(time.CLOCK_BOOTTIME)}\n")
                time.sleep(0.002)
    while True:
        time.sleep(1)


if __name__ == "__main__":
    main(sys.argv[1])
