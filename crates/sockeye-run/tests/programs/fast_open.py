"""Fast Open by its calls: MSG_FASTOPEN and TCP_FASTOPEN_CONNECT, with what they answer."""
import errno, select, socket

MSG_FASTOPEN, TCP_FASTOPEN_CONNECT = 0x20000000, 30


def told(what, act):
    try:
        print(what, act())
    except OSError as error:
        print(what, errno.errorcode[error.errno])


server = socket.socket()
server.bind(("127.0.0.1", 0))
server.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
server.listen(5)
at = server.getsockname()
for round in range(3):
    client = socket.socket()
    print("sent", client.sendto(b"hello", MSG_FASTOPEN, at))
    peer, _ = server.accept()
    print("received", peer.recv(99))
    peer.sendall(b"there")
    print("answered", client.recv(99), client.getpeername() == at)
    told("again", lambda: client.sendto(b"x", MSG_FASTOPEN, at))
    client.close(), peer.close()

client = socket.socket()
client.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
print("option", client.getsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT))
client.connect(at)
client.sendall(b"hello")
peer, _ = server.accept()
print("received", peer.recv(99))
client.close(), peer.close()

client = socket.socket()
client.setblocking(False)
told("not waiting", lambda: client.sendto(b"hello", MSG_FASTOPEN, at))
print("writable", bool(select.select([], [client], [], 10)[1]))
print("then", client.send(b"hello"))
peer, _ = server.accept()
print("received", peer.recv(99))
client.close(), peer.close()

silent = socket.socket()
silent.bind(("127.0.0.1", 0))
told("nobody there", lambda: socket.socket().sendto(b"hello", MSG_FASTOPEN, silent.getsockname()))
told("no address", lambda: socket.socket().send(b"hello", MSG_FASTOPEN))
told("bad option", lambda: socket.socket().setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 2))
