// A web server that tells each client its address.
const http = require("http");

const server = http.createServer((request, answer) => {
  answer.end(`you are ${request.socket.remoteAddress.replace("::ffff:", "")}\n`);
});
server.listen(0, () => console.log(`listening on port ${server.address().port}`));
process.on("SIGTERM", () => process.exit(0));
