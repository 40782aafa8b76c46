"""Connecting takes 200 ms here: what a program sees meanwhile, and what happens to those who do not wait."""
import ctypes
import errno
import select
import signal
import socket
import struct
import time
from probe import call, mask

libc = ctypes.CDLL(None, use_errno=True)
ECHO = ("10.0.2.2", 7)

# connect_nonblock_not_writable
sock = socket.socket()
sock.setblocking(False)
edge = select.epoll()
edge.register(sock, select.EPOLLOUT | select.EPOLLET)
print("start", errno.errorcode[sock.connect_ex(ECHO)], mask(sock))
call("send", sock.send, b"too early")
print("again", errno.errorcode[sock.connect_ex(ECHO)], edge.poll(0))
call("peer", sock.getpeername)
print("connected", len(edge.poll(5)), mask(sock, "OUT"), sock.connect_ex(ECHO), errno.errorcode[sock.connect_ex(ECHO)])
sock.setblocking(True)
sock.sendall(b"hello")
print(sock.recv(10))
sock.close()

# sndtimeo
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 50_000))
print("timeout", errno.errorcode[sock.connect_ex(ECHO)])
print("joined", errno.errorcode.get(sock.connect_ex(ECHO), 0))
print("later", mask(sock, "OUT"), sock.connect_ex(ECHO))
sock.close()

# connect_reissued_after_signal
signal.signal(signal.SIGALRM, lambda *_: None)
address = struct.pack("!2s H 4s 8x", struct.pack("H", socket.AF_INET), 7, socket.inet_aton("10.0.2.2"))
for restart in (True, False):
    signal.siginterrupt(signal.SIGALRM, not restart)
    sock = socket.socket()
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    got = libc.connect(sock.fileno(), address, 16)
    print("restart" if restart else "interrupt", got, errno.errorcode[ctypes.get_errno()] if got else "")
    if got:
        got = libc.connect(sock.fileno(), address, 16)
        print("again", got, errno.errorcode[ctypes.get_errno()] if got else "")
    sock.sendall(b"fine")
    print(sock.recv(10))
    sock.close()

# a close while connecting
sock = socket.socket()
sock.setblocking(False)
sock.connect_ex(ECHO)
sock.close()
time.sleep(0.3)

# a refusal that takes its time
sock = socket.socket()
sock.setblocking(False)
sock.connect_ex(("10.0.2.2", 81))
print("waiting", mask(sock))
print("refused", mask(sock, "OUT,ERR"), errno.errorcode[sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)])
sock.close()
call("refused blocking", socket.socket().connect, ("10.0.2.2", 81))
