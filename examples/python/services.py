"""A service has a name for people and a port for packets. The services registry leads from either to the other."""

import socket

for name, protocol in [("http", "tcp"), ("domain", "udp"), ("ssh", "tcp")]:
    port = socket.getservbyname(name, protocol)
    print(f"{name} over {protocol} is at port {port}")

for port in [25, 123]:
    protocol = "tcp" if port == 25 else "udp"
    print(f"port {port} over {protocol} is {socket.getservbyport(port, protocol)}")

try:
    socket.getservbyname("no-such-service")
except OSError as error:
    print(f"no-such-service: {error}")
