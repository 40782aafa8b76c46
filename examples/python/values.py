"""A socket carries bytes, nothing else. To send a list or a dict, write it down as text with repr() and read it with literal_eval()."""

import ast
import socket
import threading

listener = socket.create_server(("127.0.0.1", 0))


def serve():
    peer, _ = listener.accept()
    with peer, peer.makefile("rw") as lines:
        for line in lines:
            value = ast.literal_eval(line)
            if isinstance(value, dict):
                answer = {key: number * 2 for key, number in value.items()}
            else:
                answer = value[::-1]
            lines.write(repr(answer) + "\n")
            lines.flush()


server = threading.Thread(target=serve)
server.start()
with socket.create_connection(listener.getsockname()) as client, client.makefile("rw") as lines:
    for value in [[1, 2.5, "three", None], {"apples": 3, "pears": 4}]:
        lines.write(repr(value) + "\n")
        lines.flush()
        answer = ast.literal_eval(lines.readline())
        print("sent", value, "got", answer, "a", type(answer).__name__)
server.join()
listener.close()
