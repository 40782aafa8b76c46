"""A server and many clients of asyncio in one program: asyncio_echo.py CLIENTS."""

import asyncio
import sys


async def serve(reader, writer):
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()
    writer.close()


async def converse(port, number):
    sent = bytes([number]) * 50_000
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    writer.write_eof()
    received = await reader.read(-1)
    writer.close()
    return received == sent


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, sender):
        self.transport.sendto(data, sender)


class Ask(asyncio.DatagramProtocol):
    def __init__(self, answer):
        self.answer = answer

    def datagram_received(self, data, sender):
        if not self.answer.done():
            self.answer.set_result(data)


async def ask():
    """Datagrams may be lost: it asks until it hears."""
    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    answer = loop.create_future()
    client, _ = await loop.create_datagram_endpoint(lambda: Ask(answer), remote_addr=server.get_extra_info("sockname"))
    while True:
        client.sendto(b"question")
        try:
            return (await asyncio.wait_for(asyncio.shield(answer), 1)).decode()
        except TimeoutError:
            pass


async def main():
    clients = int(sys.argv[1])
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    same = await asyncio.gather(*(converse(port, number) for number in range(clients)))
    print(len(same), "conversations,", "all as sent" if all(same) else same)
    print("over a datagram endpoint:", await ask())


asyncio.run(main())
