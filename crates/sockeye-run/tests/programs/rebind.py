"""A port is free as soon as its last socket was closed, however fast it is asked for again."""
import socket

def once(family, any_address, connect, first):
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind((any_address, 15300))
    listener.listen(5)
    if connect:
        pair = [socket.create_connection(("127.0.0.1", 15300)), listener.accept()[0]]
        pair.pop(first).close()
        pair.pop().close()
    listener.close()

for family, any_address in [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")]:
    for connect, first in [(False, 0), (True, 0), (True, 1)]:
        try:
            for n in range(100):
                once(family, any_address, connect, first)
            print(family.name, connect, first, "all")
        except OSError as error:
            print(family.name, connect, first, n, error)
