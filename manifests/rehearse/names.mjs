// The name server of a rehearsal: it knows no name, and writes down who asked for which.
// DNS messages: RFC 1035, 4.1; over TCP with a length before each: 4.2.2.
import { createSocket } from "node:dgram";
import { createServer } from "node:net";

const TYPES = {
  1: "A",
  2: "NS",
  5: "CNAME",
  6: "SOA",
  12: "PTR",
  15: "MX",
  16: "TXT",
  28: "AAAA",
  33: "SRV",
  65: "HTTPS",
};

/** The question of a query; undefined for anything else. */
function questionOf(message) {
  if (message.length < 17 || (message[2] & 0xf8) !== 0 || message.readUInt16BE(4) !== 1) return undefined;
  const labels = [];
  let at = 12;
  for (; message[at] !== 0; at += 1 + message[at]) {
    const length = message[at];
    if (length > 63 || at + 1 + length + 5 > message.length || labels.length > 127) return undefined;
    labels.push(message.toString("latin1", at + 1, at + 1 + length));
  }
  const type = message.readUInt16BE(at + 1);
  return { name: labels.join(".").toLowerCase(), type: TYPES[type] ?? String(type), end: at + 5 };
}

/** "There is no such name." */
function answer(message, from) {
  const question = questionOf(message);
  if (question === undefined) return undefined;
  const { name, type, end } = question;
  process.stdout.write(`${JSON.stringify({ from: from.replace(/^::ffff:/, ""), name, type })}\n`);
  const reply = Buffer.from(message.subarray(0, end));
  reply[2] |= 0x84;
  reply[3] = 0x83;
  reply.writeUInt16BE(0, 6);
  reply.writeUInt16BE(0, 8);
  reply.writeUInt16BE(0, 10);
  return reply;
}

const datagrams = createSocket("udp4");
datagrams.on("message", (message, { address, port }) => {
  const reply = answer(message, address);
  if (reply) datagrams.send(reply, port, address, () => {});
});
datagrams.bind(53);

createServer((socket) => {
  let held = Buffer.alloc(0);
  socket.on("error", () => {});
  socket.setTimeout(10_000, () => socket.destroy());
  socket.on("data", (chunk) => {
    held = Buffer.concat([held, chunk]);
    while (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) {
      const size = held.readUInt16BE(0);
      const reply = answer(held.subarray(2, 2 + size), socket.remoteAddress ?? "");
      held = held.subarray(2 + size);
      if (!reply) return socket.destroy();
      const length = Buffer.alloc(2);
      length.writeUInt16BE(reply.length);
      socket.write(Buffer.concat([length, reply]));
    }
    if (held.length > 65_537) socket.destroy();
  });
}).listen(53);
process.on("SIGTERM", () => process.exit(0));
