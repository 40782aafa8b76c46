"""connect, accept, shutdown, close and reset, with the poll masks that a program sees."""
import select
import socket
import struct
import threading
import time
from probe import call, mask, pair

# connect_nonblock, connect_et_edge
listener = socket.create_server(("127.0.0.1", 0))
client = socket.socket()
client.setblocking(False)
edge = select.epoll()
edge.register(client, select.EPOLLOUT | select.EPOLLET)
edge.poll(0)
print("connect_ex", client.connect_ex(listener.getsockname()) in (0, 115))
print("edge", [event & select.EPOLLOUT for _, event in edge.poll(2)])
print("mask", mask(client, "OUT"), "error", client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
print("peer", client.getpeername() == listener.getsockname(), "again", client.connect_ex(listener.getsockname()) in (0, 106))
print("third", client.connect_ex(listener.getsockname()))
server, address = listener.accept()
print("address", address == client.getsockname(), server.getpeername() == address, server.getsockname() == listener.getsockname())
client.close(), server.close()

# listen_et_three_pending
listener.setblocking(False)
edge = select.epoll()
edge.register(listener, select.EPOLLIN | select.EPOLLET)
print("idle", edge.poll(0), mask(listener))
clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
time.sleep(0.05)
print("pending", mask(listener, "IN"), len(edge.poll(1)))
taken = [listener.accept()[0] for _ in range(3)]
call("none left", listener.accept)
print("empty", mask(listener))
clients.append(socket.create_connection(listener.getsockname()))
print("new edge", len(edge.poll(1)))
for sock in clients + taken:
    sock.close()
listener.close()

# connect_refused_masks
free = socket.socket()
free.bind(("127.0.0.1", 0))
nobody = free.getsockname()
client = socket.socket()
client.setblocking(False)
client.connect_ex(nobody)
print("refused", mask(client, "OUT,ERR"), client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
client.close()

# connect_retry_blocking
client = socket.socket()
call("refused blocking", client.connect, nobody)
free.listen()
call("retry", client.connect, nobody)
call("connected twice", client.connect, nobody)
client.close(), free.close()

# half_close_masks
a, b = pair()
print("open", mask(a), mask(b))
b.sendall(b"last")
b.shutdown(socket.SHUT_WR)
print("half", mask(a, "RDHUP"), a.recv(10), a.recv(10), mask(a))
a.sendall(b"still")
print("other way", b.recv(10))
a.close()
print("both", mask(b, "HUP"), b.recv(10))
b.close()

# both_shut_hup
a, b = pair()
a.shutdown(socket.SHUT_WR), b.shutdown(socket.SHUT_WR)
print("both shut", mask(a, "HUP"), mask(b, "HUP"))
a.close(), b.close()

# linger0_no_fin_first
a, b = pair()
a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
a.close()
print("reset", mask(b, "ERR"))
call("read", b.recv, 10)
call("read again", b.recv, 10)
b.close()

# queued data before the reset
a, b = pair()
b.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
b.sendall(b"x")
print("data", a.recv(1, socket.MSG_PEEK))
b.close()
print("then", mask(a, "ERR"), a.recv(10))
call("read", a.recv, 10)
call("end", a.recv, 10)
a.close()

# unread_close_rst
a, b = pair()
a.sendall(b"never read")
print("arrived", mask(b, "IN"))
b.close()
print("peer", mask(a, "ERR"))
call("read", a.recv, 10)
a.close()

# blocked writer is told of the end
a, b = pair()
a.settimeout(0.2)
total = 0
try:
    while True:
        total += a.send(b"x" * 65536)
except socket.timeout:
    print("full", total > 100_000, mask(a))
b.close()
print("gone", mask(a, "ERR"))
a.close()

# a writer at full speed is told, too
def flood(sock):
    try:
        while True:
            sock.send(b"x" * 262144)
    except OSError:
        sock.close()
for _ in range(20):
    a, b = pair()
    writer = threading.Thread(target=flood, args=[a], daemon=True)
    writer.start()
    left = 8 << 20
    while left > 0:
        left -= len(b.recv(1 << 20))
    b.close()
    writer.join(3)
    print("flood goes on", writer.is_alive())

# states that calls refuse
fresh = socket.socket()
call("peer of fresh", fresh.getpeername)
call("shutdown of fresh", fresh.shutdown, socket.SHUT_WR)
call("accept of fresh", fresh.accept)
print("name of fresh", fresh.getsockname())
fresh.listen()
print("listen binds", fresh.getsockname()[0], fresh.getsockname()[1] > 0)
call("connect of listener", fresh.connect, ("127.0.0.1", 1))
call("shutdown listener", fresh.shutdown, socket.SHUT_RDWR)
call("accept of shut", fresh.accept)
call("bad family", socket.socket().connect_ex, ("0.0.0.0", 1))
held = socket.create_server(("127.0.0.1", 0))
call("in use", socket.socket().bind, held.getsockname())
call("foreign address", socket.socket().bind, ("192.0.2.1", 0))
call("listen on udp", socket.socket(socket.AF_INET, socket.SOCK_DGRAM).listen)
