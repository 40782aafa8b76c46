"""A writer that ends right after writing, or daemonises first; a reader outside of its process counts what arrives."""
import os
import socket
import sys

listener = socket.create_server(("127.0.0.1", 0))
if os.fork() == 0:
    # The reader outlives the program that was started.
    reader, _ = listener.accept()
    total = 0
    while data := reader.recv(10_000):
        total += len(data)
    print(total)
    sys.stdout.flush()
    os._exit(0)
writer = socket.create_connection(listener.getsockname())
listener.close()
if sys.argv[1] == "orphan_served":
    if os.fork() == 0:
        os.setsid()
        writer.sendall(b"x" * 1_000_000)
        os._exit(0)
    os._exit(7)
writer.sendall(b"x" * 1_000_000)
os._exit(7)
