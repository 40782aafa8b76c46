"""A UDP echo server: one socket for everybody. Each answer goes to the address that its question came from.

udp_echo_server.py [ADDRESS [PORT [QUESTIONS]]]
"""

import socket
import sys

address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
questions = int(sys.argv[3]) if len(sys.argv) > 3 else 3

family = socket.AF_INET6 if ":" in address else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as server:
    server.bind((address, port))
    print("listening on port", server.getsockname()[1], flush=True)
    for _ in range(questions):
        question, client = server.recvfrom(2048)
        print(f"{question.decode()!r} from {client[0]} port {client[1]}", flush=True)
        server.sendto(question, client)
