"""A TCP echo server: one socket listens, and every client gets a socket of its own.

tcp_echo_server.py [ADDRESS [PORT [CLIENTS]]]
"""

import socket
import sys

address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
clients = int(sys.argv[3]) if len(sys.argv) > 3 else 1

family = socket.AF_INET6 if ":" in address else socket.AF_INET
with socket.create_server((address, port), family=family) as listener:
    print("listening on port", listener.getsockname()[1], flush=True)
    for _ in range(clients):
        connection, client = listener.accept()
        print(f"connection from {client[0]} port {client[1]}", flush=True)
        total = 0
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)
                total += len(data)
        print("echoed", total, "bytes", flush=True)
