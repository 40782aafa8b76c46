"""What is not served is refused, and how; and what the program sees of its host."""
import ctypes
import errno
import fcntl
import socket
import struct
from probe import call

libc = ctypes.CDLL(None, use_errno=True)

for name, args in [
    ("packet", (socket.AF_PACKET, socket.SOCK_RAW)), ("vsock", (40, socket.SOCK_STREAM)), ("sctp", (socket.AF_INET, socket.SOCK_STREAM, 132)),
    ("mptcp", (socket.AF_INET, socket.SOCK_STREAM, 262)), ("udplite", (socket.AF_INET, socket.SOCK_DGRAM, 136)), ("odd type", (socket.AF_INET, 9)),
    ("sctp packets", (socket.AF_INET, 5)),
]:
    call(name, socket.socket, *args)
print("io_uring", libc.syscall(425, 8, None), errno.errorcode[ctypes.get_errno()])
for path in ["/var/run/nscd/socket", "/run/systemd/resolve/io.systemd.Resolve"]:
    call("cache", socket.socket(socket.AF_UNIX).connect, path)
sock = socket.socket()
call("mark", sock.setsockopt, socket.SOL_SOCKET, 36, 1)
call("transparent", sock.setsockopt, socket.IPPROTO_IP, 19, 1)
call("device", sock.setsockopt, socket.SOL_SOCKET, 25, b"wlan7")
call("ulp", sock.setsockopt, socket.IPPROTO_TCP, 31, b"tls")
call("zerocopy", sock.setsockopt, socket.SOL_SOCKET, 60, 1)
call("md5", sock.setsockopt, socket.IPPROTO_TCP, 14, b"\0" * 216)
sock.connect(("10.0.2.2", 7))
call("oob", sock.send, b"!", socket.MSG_OOB)
call("fastopen", sock.sendto, b"!", 0x20000000, ("10.0.2.2", 7))
print("name", sock.getsockname()[0], "peer", sock.getpeername())
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
print("raw", raw.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_RAW)
query = struct.pack("16s24x", b"eth0")
reply = lambda request: fcntl.ioctl(sock.fileno(), request, query)
print("eth0", socket.inet_ntoa(reply(0x8915)[20:24]), socket.inet_ntoa(reply(0x891B)[20:24]), struct.unpack("i", reply(0x8921)[16:20])[0])
print("index", socket.if_nametoindex("eth0"), socket.if_indextoname(2))
six = socket.socket(socket.AF_INET6)
six.connect(("fd00::2", 7))
print("six", six.getsockname()[0])
call("unreachable", socket.socket().connect, ("10.0.2.99", 7))
call("udp to nobody", socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto, b"x", ("0.0.0.0", 0))
