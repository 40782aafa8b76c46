"""Numbers sent to oneself, one by one, over UDP or TCP: which of them arrive, how often, and in which order?

numbers.py udp|tcp [HOW_MANY]
"""

import socket
import sys
import time

transport = sys.argv[1]
many = int(sys.argv[2]) if len(sys.argv) > 2 else 100


def over_udp():
    """Each number travels alone."""
    taker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    taker.bind(("127.0.0.1", 0))
    taker.settimeout(1)
    giver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for number in range(1, many + 1):
        giver.sendto(str(number).encode(), taker.getsockname())
        time.sleep(0.002)
    arrived = []
    try:
        while True:
            arrived.append(int(taker.recv(100)))
    except TimeoutError:
        return arrived


def over_tcp():
    """The numbers are lines of one stream."""
    listener = socket.create_server(("127.0.0.1", 0))
    giver = socket.create_connection(listener.getsockname())
    giver.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    taker, _ = listener.accept()
    for number in range(1, many + 1):
        giver.sendall(f"{number}\n".encode())
        time.sleep(0.002)
    giver.close()
    return [int(line) for line in taker.makefile()]


arrived = over_udp() if transport == "udp" else over_tcp()
late = sum(1 for before, after in zip(arrived, arrived[1:]) if after < before)
print(f"{many} numbers sent over {transport}")
print("missing:", many - len(set(arrived)))
print("more than once:", len(arrived) - len(set(arrived)))
print("after a greater one:", late)
