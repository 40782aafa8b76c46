"""What the probes share: printing what a poll says, and calling what may fail."""
import errno
import select
import socket
import sys
import time

BITS = [(select.POLLIN, "IN"), (select.POLLOUT, "OUT"), (select.POLLERR, "ERR"), (select.POLLHUP, "HUP"), (0x2000, "RDHUP")]


def mask(sock, want=None, within=2.0):
    """The poll mask of a socket; waits for `want` to appear in it, at most `within` seconds."""
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLOUT | 0x2000)
    end = time.monotonic() + within
    while True:
        got = dict(poll.poll(0)).get(sock.fileno(), 0)
        names = [name for bit, name in BITS if got & bit]
        if want is None or set(want.split(",")) <= set(names) or time.monotonic() > end:
            return ",".join(names) or "-"
        time.sleep(0.005)


def call(what, function, *args):
    """Prints the result of a call, or the name of its errno."""
    try:
        result = function(*args)
    except BrokenPipeError:
        result = "EPIPE"
    except socket.timeout:
        result = "timeout"
    except OSError as error:
        result = errno.errorcode.get(error.errno, str(error))
    print(what, result)
    sys.stdout.flush()
    return result


def pair():
    """A connected pair of TCP sockets on the loopback."""
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    listener.close()
    return client, server
