"""Run as a process: an echo server on a port, standing for the database behind a gate."""

import socket
import sys
import threading


def serve(one: socket.socket) -> None:
    """Send back whatever comes, and end when the other end does."""
    with one:
        try:
            while got := one.recv(65536):
                one.sendall(got)
        except OSError:
            pass


def main(address: str, port: str) -> None:
    """Until it is killed."""
    with socket.create_server((address, int(port)), reuse_port=False) as door:
        while True:
            one, _ = door.accept()
            threading.Thread(target=serve, args=(one,), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
