// Asks URL by fetch and by http, asks the built-in service, and is refused.
const http = require("http");

function get(url) {
  return new Promise((resolve, reject) => {
    http.get(url, (answer) => {
      let bytes = 0;
      answer.on("data", (chunk) => (bytes += chunk.length));
      answer.on("end", () => resolve(`${answer.statusCode}, ${bytes} bytes`));
    }).on("error", reject);
  });
}

async function main(url) {
  const answer = await fetch(url);
  console.log(`fetch: ${answer.status}, ${(await answer.arrayBuffer()).byteLength} bytes`);
  console.log(`http: ${await get(url)}`);
  console.log(`hello: ${await get("http://hello.sockeye.test/bytes/4321")}`);
  console.log(`refused: ${await get("http://10.0.2.2:1/").catch((error) => error.code)}`);
}

main(process.argv[2]);
