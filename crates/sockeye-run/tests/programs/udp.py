"""Datagrams: addresses, boundaries, peeks, truncation, errors."""
import socket
import struct
from probe import call, mask

IP_PKTINFO = 8

def udp(address=("127.0.0.1", 0)):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if address:
        sock.bind(address)
    sock.settimeout(2)
    return sock

# udp_mix_recv_recvfrom_addresses
server, one, two = udp(), udp(), udp()
for index in range(4):
    one.sendto(b"one%d" % index, server.getsockname())
    two.sendto(b"two%d" % index, server.getsockname())
names = {one.getsockname(): "one", two.getsockname(): "two"}
mask(server, "IN")
got = []
for index in range(8):
    if index % 3 == 1:
        got.append(server.recv(100).decode())
    else:
        data, sender = server.recvfrom(100)
        got.append(data.decode() + "@" + names[sender])
print(got)

# udp_peek_trunc_zero_max
one.sendto(b"peek me", server.getsockname())
print("peek", server.recvfrom(4, socket.MSG_PEEK)[0], server.recvfrom(100)[0])
one.sendto(b"long datagram", server.getsockname())
one.sendto(b"", server.getsockname())
one.sendto(b"m" * 65507, server.getsockname())
data, _, flags, _ = server.recvmsg(4)
print("trunc", data, flags == socket.MSG_TRUNC)
print("zero", server.recvfrom(10)[0], "max", len(server.recvfrom(70000)[0]))
call("too long", one.sendto, b"m" * 65508, server.getsockname())
one.sendto(b"abcdef", server.getsockname())
print("real length", server.recv_into(bytearray(2), 2, socket.MSG_TRUNC))

# connected
client = udp(None)
print("unbound", client.getsockname())
client.connect(server.getsockname())
print("bound", client.getsockname()[0], client.getsockname()[1] > 0, client.getpeername() == server.getsockname())
client.send(b"native")
data, sender = server.recvfrom(100)
print(data, sender == client.getsockname())
server.sendto(b"answer", sender)
one.sendto(b"stranger", sender)
print("filtered", client.recv(100), mask(client))
call("no destination", udp(None).send, b"")
call("not connected", udp(None).getpeername)
client.connect(("127.0.0.1", 9))
client.close()

# udp_pktinfo
server.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
server.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
one.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0x10)
one.sendto(b"info", server.getsockname())
data, control, flags, sender = server.recvmsg(100, 200)
for level, kind, value in sorted(control):
    print("control", level, kind, socket.inet_ntoa(value[8:12]) if kind == IP_PKTINFO else value)

# udp_icmp_recvfrom
closed = udp()
nobody = closed.getsockname()
closed.close()
client = udp(None)
client.connect(nobody)
client.send(b"anybody?")
client.settimeout(2)
call("refused", client.recvfrom, 100)
client.send(b"anybody?")
mask(client, "IN")
client.setblocking(False)
call("refused again", client.recvfrom, 100)
call("nothing", client.recvfrom, 100)

# timeouts and waiting
server.settimeout(None)
server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 50_000))
call("receive timeout", server.recvfrom, 10)
server.setblocking(False)
call("would block", server.recvfrom, 10)

# seqpacket_depth
for index in range(200):
    one.sendto(b"%d" % index, server.getsockname())
server.settimeout(2)
print("depth", [int(server.recvfrom(10)[0]) for _ in range(200)] == list(range(200)))

# IPv6, and IPv4 through an IPv6 socket
six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
six.bind(("::", 0))
six.settimeout(2)
port = six.getsockname()[1]
other = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
other.sendto(b"six", ("::1", port))
print(six.recvfrom(10)[0])
udp(None).sendto(b"mapped", ("127.0.0.1", port))
data, sender = six.recvfrom(10)
print(data, sender[0])
