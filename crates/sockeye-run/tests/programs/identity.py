"""A socket stays itself through dup, fork, exec and descriptor passing, and ends with its last descriptor."""
import array
import os
import socket
import subprocess
import sys
from probe import call, mask, pair

# last_dup_closes
a, b = pair()
copy = a.dup()
a.close()
copy.sendall(b"by the copy")
print(b.recv(20), mask(b))
copy.close()
print("last", mask(b, "RDHUP"), b.recv(20))

# fork_keeps_open
a, b = pair()
child = os.fork()
if child == 0:
    a.close()
    b.sendall(b"child")
    os._exit(0)
b.close()
print("parent", a.recv(20))
os.waitpid(child, 0)
print("end", a.recv(20))

# exec_keeps_identity
a, b = pair()
os.set_inheritable(a.fileno(), True)
script = "import socket,sys; s=socket.socket(fileno=int(sys.argv[1])); s.sendall(repr(s.getpeername()).encode())"
subprocess.run([sys.executable, "-c", script, str(a.fileno())], close_fds=False, check=True)
print("exec", b.recv(100).decode() == repr(b.getsockname()))

# scm_rights_identity
left, right = socket.socketpair()
a, b = pair()
socket.send_fds(left, [b"x"], [a.fileno()])
_, fds, _, _ = socket.recv_fds(right, 1, 1)
passed = socket.socket(fileno=fds[0])
print("passed", passed.getpeername() == b.getsockname(), passed.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE))
a.close()
passed.sendall(b"through")
print(b.recv(20))

# rebind_after_close
listener = socket.create_server(("127.0.0.1", 0))
address = listener.getsockname()
listener.close()
again = socket.create_server(address)
print("rebound", again.getsockname() == address)
again.close()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
address = udp.getsockname()
udp.close()
again = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
call("udp rebound", again.bind, address)

# accept_3_procs
listener = socket.create_server(("127.0.0.1", 0))
children = []
for index in range(3):
    child = os.fork()
    if child == 0:
        for _ in range(5):
            sock, _ = listener.accept()
            sock.sendall(b"%d" % index)
            sock.close()
        os._exit(0)
    children.append(child)
served = [socket.create_connection(listener.getsockname()).recv(1) for _ in range(15)]
for child in children:
    os.waitpid(child, 0)
print("served", len(served), sorted(set(served)))
