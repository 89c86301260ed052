import { createServer, type Server } from "node:http";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AirgapError } from "../../src/errors.ts";
import { Engine } from "../../src/transport/engine.ts";
import { Scratch } from "../support/scratch.ts";

const scratch = new Scratch();
const asked: string[] = [];
/** What the engine answers to a request: status, and message. */
let answers: Record<string, [status: number, message: string]> = {};
let server: Server;
let engine: Engine;

beforeAll(async () => {
  const socket = scratch.path("engine.sock");
  server = createServer((request, response) => {
    const what = `${request.method} ${decodeURIComponent(request.url ?? "")}`;
    asked.push(what);
    const [status, message] = answers[what] ?? [200, "OK"];
    const answer = (): void =>
      void response.writeHead(status).end(JSON.stringify({ message, Id: "sha256:1" }));
    request
      .on("error", () => {})
      .on("end", answer)
      .resume();
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  process.env["DOCKER_HOST"] = `unix://${socket}`;
  engine = await Engine.open("podman");
});
beforeEach(() => {
  asked.length = 0;
  answers = {};
});
afterAll(() => {
  delete process.env["DOCKER_HOST"];
  server.close();
  scratch[Symbol.dispose]();
});

const missing = (name: string): [string, [number, string]] => [
  `GET /images/${name}/json`,
  [404, "no such image"],
];

describe("an engine", () => {
  it("finds an image of its own by a short name, which Podman takes for one of Docker Hub's", async () => {
    expect(await engine.findImage("base:1")).toBe("base:1");
    answers = Object.fromEntries([missing("base:1")]);
    expect(await engine.findImage("base:1")).toBe("localhost/base:1");
    answers = Object.fromEntries([missing("base:1"), missing("localhost/base:1"), missing("quay.io/base:1")]);
    for (const name of ["base:1", "quay.io/base:1"])
      await expect(engine.findImage(name)).rejects.toMatchObject({
        ...{ code: "not-found", message: expect.stringContaining(`find the image ${name}:`) },
      });
  });

  it("keeps a network that is in use, whichever way it says so; anything else is an error", async () => {
    for (const answer of [
      [500, '"n" has associated containers with it. Use -f to forcibly delete: network is being used'],
      [403, "network n has active endpoints"],
      [404, "network n not found"],
    ] as const) {
      answers = { "DELETE /networks/n": [...answer] };
      await engine.removeNetwork("n");
    }
    answers = { "DELETE /networks/n": [500, "the disk is full"] };
    await expect(engine.removeNetwork("n")).rejects.toThrow("the disk is full");
  });

  it("ends a request when the archive for it cannot be read", async () => {
    const broken = (): Readable =>
      Readable.from(
        (async function* () {
          yield Buffer.alloc(1000);
          while (asked.length === 0) await sleep(5);
          throw new AirgapError("corrupt", "one-1-1 is damaged");
        })(),
      );
    await expect(engine.importImage(broken(), "localhost/base:1")).rejects.toMatchObject({ code: "corrupt" });
    expect(asked.splice(0)).toEqual(["POST /images/create?repo=localhost/base:1&fromSrc=-"]);
    await expect(engine.put("id", broken(), "/")).rejects.toThrow("one-1-1 is damaged");
    expect(asked).toEqual(["PUT /containers/id/archive?path=/"]);
  });
});
