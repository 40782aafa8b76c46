// dgram.js PORT: answers one datagram from outside in capitals, then asks itself.
const dgram = require("dgram");

const server = dgram.createSocket("udp4");
server.on("listening", () => console.log(`listening on port ${server.address().port}`));
server.once("message", (question, sender) => {
  server.send(question.toString().toUpperCase(), sender.port, sender.address, () => {
    const client = dgram.createSocket("udp4");
    server.on("message", (mine) => {
      if (mine.toString() !== "from inside") return;
      console.log(`heard myself: ${mine}`);
      client.close();
      server.close();
    });
    client.send("from inside", server.address().port, "127.0.0.1");
  });
});
server.bind(Number(process.argv[2]), "0.0.0.0");
