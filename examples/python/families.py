"""AF_UNIX sockets connect programs on one machine and carry no addresses; AF_INET sockets connect hosts. One program may use both."""

import socket

left, right = socket.socketpair(socket.AF_UNIX)
left.sendall(b"no network needed")
print("AF_UNIX:", right.recv(100).decode(), "- its name is", repr(left.getsockname()))

listener = socket.create_server(("127.0.0.1", 0))
near = socket.create_connection(listener.getsockname())
far, address = listener.accept()
near.sendall(b"through the network")
print("AF_INET:", far.recv(100).decode(), "- its name is", near.getsockname())
print("both ends agree on it:", address == near.getsockname())

for one in (left, near, listener):
    print(one.family.name, one.type.name)

for one in (left, right, near, far, listener):
    one.close()
