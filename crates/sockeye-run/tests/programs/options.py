"""Every option that programs commonly set: its default, and what it reads as afterwards."""
import socket
from probe import call

S, T, I, V = socket.SOL_SOCKET, socket.IPPROTO_TCP, socket.IPPROTO_IP, socket.IPPROTO_IPV6
NAMES = {
    "SO_REUSEADDR": (S, socket.SO_REUSEADDR, 7), "SO_REUSEPORT": (S, socket.SO_REUSEPORT, 1), "SO_KEEPALIVE": (S, socket.SO_KEEPALIVE, 3),
    "SO_BROADCAST": (S, socket.SO_BROADCAST, 1), "SO_OOBINLINE": (S, socket.SO_OOBINLINE, 1), "SO_RCVLOWAT": (S, socket.SO_RCVLOWAT, 2),
    "SO_SNDLOWAT": (S, socket.SO_SNDLOWAT, 2), "SO_PRIORITY": (S, socket.SO_PRIORITY, 3), "SO_DONTROUTE": (S, socket.SO_DONTROUTE, 1),
    "SO_TYPE": (S, socket.SO_TYPE, 1), "SO_ERROR": (S, socket.SO_ERROR, 1), "SO_DOMAIN": (S, socket.SO_DOMAIN, 1),
    "SO_PROTOCOL": (S, socket.SO_PROTOCOL, 1), "SO_ACCEPTCONN": (S, socket.SO_ACCEPTCONN, 1),
    "TCP_NODELAY": (T, socket.TCP_NODELAY, 5), "TCP_CORK": (T, socket.TCP_CORK, 1), "TCP_KEEPIDLE": (T, socket.TCP_KEEPIDLE, 60),
    "TCP_KEEPINTVL": (T, socket.TCP_KEEPINTVL, 6), "TCP_KEEPCNT": (T, socket.TCP_KEEPCNT, 4), "TCP_SYNCNT": (T, socket.TCP_SYNCNT, 3),
    "TCP_LINGER2": (T, socket.TCP_LINGER2, 9), "TCP_DEFER_ACCEPT": (T, socket.TCP_DEFER_ACCEPT, 0), "TCP_QUICKACK": (T, socket.TCP_QUICKACK, 1),
    "TCP_USER_TIMEOUT": (T, socket.TCP_USER_TIMEOUT, 1500), "TCP_KEEPCNT too large": (T, socket.TCP_KEEPCNT, 200),
    "IP_TOS": (I, socket.IP_TOS, 16), "IP_TTL": (I, socket.IP_TTL, 9), "IP_TTL zero": (I, socket.IP_TTL, 0), "IP_TTL default": (I, socket.IP_TTL, -1),
    "IP_MTU_DISCOVER": (I, 10, 2), "IP_RECVERR": (I, 11, 1), "IP_FREEBIND": (I, 15, 1), "IP_BIND_ADDRESS_NO_PORT": (I, 24, 1),
    "IP_MULTICAST_TTL": (I, socket.IP_MULTICAST_TTL, 4), "IP_MULTICAST_LOOP": (I, socket.IP_MULTICAST_LOOP, 0),
    "IPV6_V6ONLY": (V, socket.IPV6_V6ONLY, 1), "IPV6_UNICAST_HOPS": (V, socket.IPV6_UNICAST_HOPS, 5), "IPV6_TCLASS": (V, socket.IPV6_TCLASS, 8),
    "unknown": (S, 9999, 1), "unknown level": (77, 1, 1),
}

for family, kind in [(socket.AF_INET, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_DGRAM), (socket.AF_INET6, socket.SOCK_STREAM)]:
    for name, (level, number, value) in NAMES.items():
        if level == V and family == socket.AF_INET:
            continue
        sock = socket.socket(family, kind)
        label = f"{family.name} {kind.name} {name}"
        call(label + " default", sock.getsockopt, level, number)
        call(label + " set", sock.setsockopt, level, number, value)
        call(label + " after", sock.getsockopt, level, number)
        sock.close()

sock = socket.socket()
sock.setsockopt(S, socket.SO_RCVBUF, 50_000)
sock.setsockopt(S, socket.SO_SNDBUF, 60_000)
print("doubled", sock.getsockopt(S, socket.SO_RCVBUF), sock.getsockopt(S, socket.SO_SNDBUF))
print("congestion", sock.getsockopt(T, socket.TCP_CONGESTION, 16))
call("reno", sock.setsockopt, T, socket.TCP_CONGESTION, b"reno")
call("no such", sock.setsockopt, T, socket.TCP_CONGESTION, b"nosuch")
print("linger", sock.getsockopt(S, socket.SO_LINGER, 8))
call("ulp", sock.setsockopt, T, 31, b"nosuch")
call("unknown type", socket.socket, socket.AF_INET, 9)
call("wrong protocol", socket.socket, socket.AF_INET, socket.SOCK_STREAM, 17)
