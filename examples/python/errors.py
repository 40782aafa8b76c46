"""What goes wrong comes back as an exception, and its kind says what to do about it."""

import errno
import socket

with socket.socket() as reserved:
    # A port that is taken, so that nobody else can have it, and on which nobody listens.
    reserved.bind(("127.0.0.1", 0))
    try:
        socket.create_connection(reserved.getsockname())
    except ConnectionRefusedError as error:
        print("nobody listens there:", type(error).__name__, errno.errorcode[error.errno])

try:
    socket.create_connection(("nobody.invalid", 80))
except socket.gaierror as error:
    print("no such name:", type(error).__name__)

with socket.create_server(("127.0.0.1", 0)) as first:
    try:
        socket.create_server(first.getsockname(), reuse_port=False)
    except OSError as error:
        print("the port is taken:", errno.errorcode[error.errno])
    with socket.create_connection(first.getsockname()) as slow:
        slow.settimeout(0.1)
        try:
            slow.recv(1)
        except TimeoutError as error:
            print("nothing came in time:", type(error).__name__)

with socket.socket() as unbound:
    try:
        unbound.bind(("192.0.2.1", 0))
    except OSError as error:
        print("not an address of this host:", errno.errorcode[error.errno])
