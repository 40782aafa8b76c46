"""What is left of the network when the supervisor is killed."""
import os
import socket
from probe import call

a = socket.create_connection(("10.0.2.2", 7))
print("connected", flush=True)
call("read", a.recv, 10)
call("socket", socket.socket)
# Calls on sockets that there were fail, too: nobody answers them.
call("connect", a.connect, ("127.0.0.1", 9))
