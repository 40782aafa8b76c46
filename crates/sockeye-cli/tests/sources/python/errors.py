"""Errors come back with the numbers that a kernel's own sockets give."""

import errno
import socket
import struct


def name(error):
    return errno.errorcode[error.errno]


# Nobody listens at the gateway's port 1, nor at a port of this host that is merely taken.
try:
    socket.create_connection(("10.0.2.2", 1), timeout=30)
except OSError as error:
    print("refused outside:", name(error))

with socket.socket() as taken:
    taken.bind(("127.0.0.1", 0))
    try:
        socket.create_connection(taken.getsockname(), timeout=30)
    except OSError as error:
        print("refused inside:", name(error))

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.connect(("10.0.2.2", 1))
    client.settimeout(30)
    client.send(b"anybody?")
    try:
        client.recvfrom(100)
    except OSError as error:
        print("refused over UDP:", name(error))

with socket.create_server(("127.0.0.1", 0)) as listener:
    client = socket.create_connection(listener.getsockname(), timeout=30)
    peer, _ = listener.accept()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    try:
        client.recv(100)
    except OSError as error:
        print("reset:", name(error))
