"""Commands on hosts by SSH: the only place that knows the client side of asyncssh.

One connection per host is opened at the first need and kept; commands run over it side by side. A host's
key is checked against the known_hosts file from the very first command: there is no way to switch that
off, and nothing is ever added to the file from here.
"""

from sites.ssh.transport import SESSIONS_PER_HOST, SshTransport

__all__ = ["SESSIONS_PER_HOST", "SshTransport"]
