"""Bad pointers, refused families, hidden memory, threads, interfaces."""
import ctypes
import errno
import fcntl
import os
import socket
import struct
import threading
from probe import call, mask, pair

libc = ctypes.CDLL(None, use_errno=True)

def raw(name, *args):
    got = getattr(libc, name)(*args)
    print(name, got if got >= 0 else errno.errorcode[ctypes.get_errno()])

# efault_pointers
sock = socket.socket()
bad = ctypes.c_void_p(8)
raw("connect", sock.fileno(), bad, 16)
raw("bind", sock.fileno(), bad, 16)
raw("getsockname", sock.fileno(), bad, bad)
raw("setsockopt", sock.fileno(), 1, 2, bad, 4)
raw("getsockopt", sock.fileno(), 1, 3, bad, bad)
raw("connect", sock.fileno(), b"\x02\0\0\1", 4)
raw("connect", 999, b"\x02\0\0\1" + bytes(12), 16)
raw("listen", 0 if os.isatty(0) else os.open("/dev/null", 0), 1)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
raw("sendto", udp.fileno(), bad, 10, 0, b"\x02\0\0\x09\x7f\0\0\1" + bytes(8), 16)
raw("sendmsg", udp.fileno(), bad, 0)
raw("recvmsg", udp.fileno(), bad, 64)

# dumpable_hidden: hiding its memory does not cut the program off
raw("prctl", 4, 0, 0, 0, 0)
a, b = pair()
a.sendall(b"still served")
print(b.recv(20))
a.close(), b.close()

# accept_4_threads
listener = socket.create_server(("127.0.0.1", 0))
served = []
def serve():
    for _ in range(5):
        sock, _ = listener.accept()
        served.append(sock.recv(10))
        sock.close()
threads = [threading.Thread(target=serve) for _ in range(4)]
for thread in threads:
    thread.start()
for _ in range(20):
    client = socket.create_connection(listener.getsockname())
    client.sendall(b"x")
    client.close()
for thread in threads:
    thread.join(5)
print("threads served", len(served))

# accept4_flags
listener.setblocking(True)
client = socket.create_connection(listener.getsockname())
fd = libc.accept4(listener.fileno(), None, None, socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
print("flags", bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK), bool(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC))
fd = os.dup(fd)
raw("accept4", listener.fileno(), None, None, 0x40)

# local sockets are the kernel's
left, right = socket.socketpair()
left.sendmsg([b"local"])
print(right.recvmsg(10)[0], left.getsockname(), right.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN))

# fionread, sendfile
a, b = pair()
a.sendall(b"x" * 1000)
mask(b, "IN")
count = b.recv(2000, socket.MSG_PEEK)
print("fionread", struct.unpack("i", fcntl.ioctl(b.fileno(), 0x541B, b"\0" * 4))[0], len(count))
b.recv(2000)
with open("/dev/zero", "rb") as zero, open("/tmp/sockeye-sendfile-%d" % os.getpid(), "w+b") as file:
    file.write(zero.read(300_000))
    file.flush()
    os.unlink(file.name)
    reader = []
    def read_all():
        total = 0
        while data := b.recv(65536):
            total += len(data)
        reader.append(total)
    thread = threading.Thread(target=read_all)
    thread.start()
    file.seek(0)
    print("sendfile", a.sendfile(file))
    a.close()
    thread.join(10)
    print("received", reader)

# IPv6
listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
client = socket.create_connection(listener.getsockname()[:2])
server, address = listener.accept()
print("six", address[:2] == client.getsockname()[:2], address[0])
dual = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
client = socket.create_connection(("127.0.0.1", dual.getsockname()[1]))
server, address = dual.accept()
print("dual", address[0], server.getsockname()[0], client.getpeername()[0])

# lo is the same everywhere
query = struct.pack("16s24x", b"lo")
print("lo", socket.inet_ntoa(fcntl.ioctl(udp.fileno(), 0x8915, query)[20:24]), socket.if_nametoindex("lo"), socket.if_indextoname(1))
