"""A socket is a file descriptor: a small number. dup() gives the same socket a second number, and it lives until both are closed."""

import os
import socket
import threading

listener = socket.create_server(("127.0.0.1", 0))


def serve():
    peer, _ = listener.accept()
    with peer:
        peer.sendall(b"welcome")
        while data := peer.recv(100):
            peer.sendall(data.upper())


first = socket.create_connection(listener.getsockname())
server = threading.Thread(target=serve)
server.start()
print("the server says", first.recv(100).decode())
copy = first.dup()
print("the socket has number", first.fileno(), "and the copy", copy.fileno())
print("both are one socket:", os.fstat(copy.fileno()).st_ino == os.fstat(first.fileno()).st_ino)
print("with one address:", copy.getsockname() == first.getsockname())

first.sendall(b"through the first, ")
first.close()
print("closed, the first has number", first.fileno())

copy.sendall(b"through the copy")
copy.shutdown(socket.SHUT_WR)
answer = b""
while data := copy.recv(100):
    answer += data
print("the server heard both:", answer.decode())

copy.close()
server.join()
listener.close()
