"""A UDP echo client. Its socket has no port of its own until it sends: then the system chooses one.

udp_echo_client.py HOST PORT
"""

import socket
import sys

host, port = sys.argv[1], int(sys.argv[2])
server = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)[0][4]

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(10)
    print("before sending, my port is", client.getsockname()[1])
    for number in range(1, 4):
        client.sendto(f"question {number}".encode(), server)
        if number == 1:
            chosen = client.getsockname()[1]
            print("after sending, a port was chosen for me:", 1024 <= chosen <= 65535)
        answer, sender = client.recvfrom(2048)
        print(f"{answer.decode()!r} came back; from the server: {sender == server}")
    print("my port is still the same:", client.getsockname()[1] == chosen)
