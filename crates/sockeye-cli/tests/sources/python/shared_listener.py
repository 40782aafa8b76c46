"""Four processes accept from one listener; a connected socket is handed to another process, which answers."""

import os
import socket

WORKERS, CLIENTS = 4, 24

listener = socket.create_server(("127.0.0.1", 0), backlog=CLIENTS)
address = listener.getsockname()
children = []
for _ in range(WORKERS):
    pid = os.fork()
    if pid == 0:
        while True:
            connection, _ = listener.accept()
            with connection:
                if connection.recv(4) == b"stop":
                    os._exit(0)
                connection.sendall(str(os.getpid()).encode())
    children.append(pid)

clients = [socket.create_connection(address) for _ in range(CLIENTS)]
for client in clients:
    client.sendall(b"ask.")
answers = [client.makefile().read() for client in clients]
assert all(int(answer) in children for answer in answers)
stops = []
for _ in range(WORKERS):
    stop = socket.create_connection(address)
    stop.sendall(b"stop")
    stops.append(stop)
statuses = [os.waitpid(pid, 0)[1] for pid in children]
assert statuses == [0] * WORKERS, statuses

# The listener lives on in this process.
client = socket.create_connection(address)
connection, _ = listener.accept()
left, right = socket.socketpair(socket.AF_UNIX)
if os.fork() == 0:
    _, descriptors, _, _ = socket.recv_fds(right, 10, 1)
    with socket.socket(fileno=descriptors[0]) as passed:
        passed.sendall(b"hello")
    os._exit(0)
socket.send_fds(left, [b"take it"], [connection.fileno()])
connection.close()
os.wait()
print(f"{len(answers)} answers from {WORKERS} processes, a descriptor passed: {client.makefile().read()}")
