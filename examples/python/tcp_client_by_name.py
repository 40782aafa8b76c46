"""A TCP client that knows a name, not an address: the name is looked up, and each address it has is tried in turn.

tcp_client_by_name.py NAME PORT
"""

import socket
import sys

name, port = sys.argv[1], int(sys.argv[2])

with socket.create_connection((name, port), timeout=30) as connection:
    address, peer_port = connection.getpeername()[:2]
    print(f"{name} is {address}, connected to port {peer_port}")
    lines = [f"line {number}\n" for number in range(1, 1001)]
    connection.sendall("".join(lines).encode())
    connection.shutdown(socket.SHUT_WR)
    received = connection.makefile("r").readlines()
    print(f"sent {len(lines)} lines, {len(received)} came back")
    print("every line is there, in order, once:", received == lines)
