"""SOCK_STREAM is one long row of bytes: what was written in two pieces may be read as one. SOCK_DGRAM keeps every message apart."""

import socket

listener = socket.create_server(("127.0.0.1", 0))
writer = socket.create_connection(listener.getsockname())
reader, _ = listener.accept()
writer.sendall(b"one ")
writer.sendall(b"two")
writer.shutdown(socket.SHUT_WR)
everything = b""
while data := reader.recv(100):
    everything += data
print("SOCK_STREAM:", everything, "and then the end:", reader.recv(100))

taker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
taker.bind(("127.0.0.1", 0))
taker.settimeout(10)
giver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
giver.sendto(b"one ", taker.getsockname())
giver.sendto(b"two", taker.getsockname())
giver.sendto(b"", taker.getsockname())
print("SOCK_DGRAM:", [taker.recv(100) for _ in range(3)])
giver.sendto(b"longer than the buffer", taker.getsockname())
print("what does not fit is gone:", taker.recv(6))

for one in (listener, writer, reader, taker, giver):
    one.close()
