"""Signals and timeouts while a call waits in the supervisor."""
import ctypes
import errno
import os
import signal
import socket
import struct
import threading
import time
from probe import call

libc = ctypes.CDLL(None, use_errno=True)

def raw_accept(sock):
    got = libc.accept(sock.fileno(), None, None)
    return got if got >= 0 else errno.errorcode[ctypes.get_errno()]

listener = socket.create_server(("127.0.0.1", 0))
hits = []
signal.signal(signal.SIGALRM, lambda *_: hits.append(1))

# accept_sa_restart_matrix
signal.siginterrupt(signal.SIGALRM, True)
signal.setitimer(signal.ITIMER_REAL, 0.1)
print("interrupted", raw_accept(listener), len(hits))
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.1)
late = os.fork()
if late == 0:
    time.sleep(0.4)
    socket.create_connection(listener.getsockname())
    os._exit(0)
print("restarted", raw_accept(listener) != "EINTR")
os.waitpid(late, 0)
print("handled", len(hits))
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 5, 0))
signal.setitimer(signal.ITIMER_REAL, 0.1)
print("with a timeout", raw_accept(listener))
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 50_000))
print("timed out", raw_accept(listener))
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 0))

# keyboard_interrupt
# Started in the background, Python would ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    listener.accept()
except KeyboardInterrupt:
    print("KeyboardInterrupt")

# a waiting process can be killed
child = os.fork()
if child == 0:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).recvfrom(10)
    os._exit(0)
time.sleep(0.1)
os.kill(child, signal.SIGTERM)
print("killed", os.waitpid(child, 0)[1])

# signal_storm_1ms
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
wrong = 0
for _ in range(300):
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    door.listen()
    client = socket.socket()
    client.connect(door.getsockname())
    server, address = door.accept()
    wrong += address != client.getsockname()
    client.sendall(b"x")
    wrong += server.recv(1) != b"x"
    for sock in (client, server, door):
        sock.close()
signal.setitimer(signal.ITIMER_REAL, 0)
print("storm", wrong)

# no_errno_512
signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
odd = []
def accept_all():
    while True:
        got = libc.accept(listener.fileno(), None, None)
        if got < 0:
            number = ctypes.get_errno()
            if number == errno.EINVAL:
                return
            if number != errno.EINTR:
                odd.append(number)
        else:
            os.close(got)
threads = [threading.Thread(target=accept_all) for _ in range(6)]
for thread in threads:
    thread.start()
for _ in range(60):
    socket.create_connection(listener.getsockname()).close()
    time.sleep(0.005)
signal.setitimer(signal.ITIMER_REAL, 0)
listener.shutdown(socket.SHUT_RDWR)
for thread in threads:
    thread.join(5)
print("odd", odd, [thread.is_alive() for thread in threads].count(True))
