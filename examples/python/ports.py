"""Ports below 1024 are well known, up to 49151 registered, the rest dynamic. Ask for port 0 and the system chooses one that is free."""

import socket


def kind(port):
    return "well known" if port < 1024 else "registered" if port < 49152 else "dynamic"


for service in ["http", "postgresql"]:
    port = socket.getservbyname(service)
    print(service, "is at", port, "-", kind(port))

one, two = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
ports = [one.getsockname()[1], two.getsockname()[1]]
print("the system chose two ports that differ:", ports[0] != ports[1])
print("neither is well known:", all(kind(port) != "well known" for port in ports))

clients = [socket.create_connection(one.getsockname()) for _ in range(3)]
chosen = {client.getsockname()[1] for client in clients}
print("three connections to one port come from", len(chosen), "ports")
servers = [one.accept()[0] for _ in clients]
print("and are told apart:", {server.getpeername()[1] for server in servers} == chosen)

for each in [one, two, *clients, *servers]:
    each.close()
