import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Library, Repository } from "../../registry/library.ts";
import { Store } from "../../registry/store/store.ts";
import type { Descriptor } from "../../src/oci/descriptor.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import { bytesOf, makeImage, makeIndex, type TestImage } from "../support/images.ts";
import { Scratch } from "../support/scratch.ts";
import { call, Serving } from "../support/serve.ts";

const blob = bytesOf("blob", 2_000_000);
const image = makeImage("image", [blob]);
const signature = makeImage("signature", [], { subject: image.root });

/** The server in a process of its own, so that it can be killed. */
async function startProcess(store: string): Promise<{ url: string; process: ChildProcess }> {
  const code = `import { startServer } from ${JSON.stringify(new URL("../../registry/server.ts", import.meta.url).href)};
    console.log((await startServer({ listen: "127.0.0.1:0", store: ${JSON.stringify(store)} })).url);`;
  const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", code], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  return { url: line.toString().trim(), process: child };
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  await once(child, "exit");
}

/** A read-only library of one image in one file, as bundles are. */
function libraryOf(scratch: Scratch, name: string, image: TestImage, tag: string): Library & { end(): void } {
  const places = new Map<Digest, { offset: number; size: number }>();
  const parts = [...image.blobs];
  let offset = 0;
  for (const [digest, bytes] of parts) {
    places.set(digest, { offset, size: bytes.length });
    offset += bytes.length;
  }
  const fd = openSync(scratch.write("library.bin", Buffer.concat(parts.map(([, bytes]) => bytes))), "r");
  const repository: Repository = {
    tags: async () => [tag],
    resolve: async (reference): Promise<Descriptor | undefined> =>
      reference === tag || reference === image.root.digest ? image.root : undefined,
    open: async (digest) => {
      const place = places.get(digest);
      return place && { fd, ...place, close: () => {} };
    },
    referrers: async () => [],
  };
  return {
    name: "library",
    repositories: async () => [name],
    repository: async (asked) => (asked === name ? repository : undefined),
    end: () => closeSync(fd),
  };
}

describe("a restart", () => {
  it("finds everything", async () => {
    await using serving = await Serving.start();
    await serving.pushImage("a/b", image, "v1");
    await serving.pushImage("a/b", signature, "sig");
    const ask = async (): Promise<unknown[]> =>
      Promise.all(
        ["manifests/v1", `blobs/${digestOf(blob)}`, "tags/list", `referrers/${image.root.digest}`].map(
          async (path) => {
            const { status, body } = await serving.call("GET", `/v2/a/b/${path}`);
            return [status, body.toString("base64")];
          },
        ),
      );
    const before = await ask();
    await serving.server.close();
    await serving.open();
    expect(await ask()).toEqual(before);
  });

  it("after kill -9 in the middle of an upload goes on with the bytes that had come", async () => {
    using scratch = new Scratch();
    const first = await startProcess(scratch.path("store"));
    const { headers } = await call(`${first.url}/v2/a/blobs/uploads/`, "POST");
    const location = String(headers.location);
    const chunk = { body: blob.subarray(0, 1_000_000), headers: { "content-range": "0-999999" } };
    expect((await call(first.url + location, "PATCH", chunk)).status).toBe(202);
    const socket = connect(Number(new URL(first.url).port), "127.0.0.1");
    socket.on("error", () => {});
    socket.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n`);
    socket.write(blob.subarray(1_000_000, 1_700_000));
    await sleep(200);
    await kill(first.process);
    socket.destroy();
    const second = await startProcess(scratch.path("store"));
    try {
      const size =
        Number(/^0-(\d+)$/.exec(String((await call(second.url + location, "GET")).headers.range))?.[1]) + 1;
      expect(size).toBeGreaterThanOrEqual(1_000_000);
      expect(size).toBeLessThanOrEqual(1_700_000);
      const rest = { body: blob.subarray(size), headers: { "content-range": `${size}-${blob.length - 1}` } };
      expect((await call(`${second.url + location}?digest=${digestOf(blob)}`, "PUT", rest)).status).toBe(201);
      expect((await call(`${second.url}/v2/a/blobs/${digestOf(blob)}`, "GET")).body.equals(blob)).toBe(true);
    } finally {
      await kill(second.process);
    }
  });

  it("after kill -9 at any moment shows whole images or none", { timeout: 60_000 }, async () => {
    using scratch = new Scratch();
    let confirmed = 0;
    for (let round = 0; round < 6; round++) {
      const { url, process: child } = await startProcess(scratch.path("store"));
      const whole = Promise.withResolvers<void>();
      // The first ones die at any moment, the others once something is there to be kept.
      const death = (round < 3 ? Promise.resolve() : whole.promise)
        .then(() => sleep(40 + round * 25))
        .then(() => kill(child));
      for (let i = 0; ; i++) {
        const one = makeImage(`${round}-${i}`, [bytesOf(`${round}-${i}`, 50_000)]);
        try {
          for (const [digest, bytes] of one.blobs)
            if (digest !== one.root.digest)
              await call(`${url}/v2/a/blobs/uploads/?digest=${digest}`, "POST", { body: bytes });
          const put = {
            body: one.blobs.get(one.root.digest) as Buffer,
            headers: { "content-type": one.root.mediaType },
          };
          if ((await call(`${url}/v2/a/manifests/v${round}-${i}`, "PUT", put)).status !== 201) continue;
          confirmed++;
          whole.resolve();
        } catch {
          break;
        }
      }
      await death;
    }
    await using serving = new Serving();
    await serving.open({ store: scratch.path("store") });
    const { tags } = JSON.parse((await serving.call("GET", "/v2/a/tags/list")).body.toString()) as {
      tags: string[];
    };
    expect(tags.length).toBeGreaterThanOrEqual(confirmed);
    expect(confirmed).toBeGreaterThan(0);
    for (const tag of tags) {
      const { body, headers } = await serving.call("GET", `/v2/a/manifests/${tag}`);
      expect(digestOf(body)).toBe(headers["docker-content-digest"]);
      const { config, layers } = JSON.parse(body.toString()) as { config: Descriptor; layers: Descriptor[] };
      for (const { digest } of [config, ...layers])
        expect(digestOf((await serving.call("GET", `/v2/a/blobs/${digest}`)).body)).toBe(digest);
    }
    expect(readdirSync(join(scratch.path("store"), "tmp"))).toEqual([]);
  });
});

describe("the store", () => {
  it("gives up sessions that nobody has touched for a day", async () => {
    using scratch = new Scratch();
    const store = await Store.open(scratch.path("store"));
    const old = await store.uploads.create("a");
    const young = await store.uploads.create("a");
    const yesterday = Date.now() / 1000 - 25 * 3600;
    for (const file of [old.file, old.file.replace(/data$/, "json")]) utimesSync(file, yesterday, yesterday);
    await store.uploads.sweep();
    expect([
      (await store.uploads.find("a", old.id))?.id,
      (await store.uploads.find("a", young.id))?.id,
    ]).toEqual([undefined, young.id]);
    expect(readdirSync(scratch.path("store/uploads"))).toHaveLength(2);
  });

  it("takes a blob again that was damaged on the disk", async () => {
    await using serving = await Serving.start();
    await serving.pushBlob("a", blob);
    writeFileSync(join(serving.storePath, "blobs", digestOf(blob).replace(":", "/")), "damaged");
    await serving.pushBlob("a", blob);
    expect((await serving.call("GET", `/v2/a/blobs/${digestOf(blob)}`)).body.equals(blob)).toBe(true);
  });

  it("ends the connection when a blob is shorter than it was, instead of sending less", async () => {
    using scratch = new Scratch();
    const library = libraryOf(scratch, "a", image, "v1");
    await using serving = await Serving.start({ libraries: [library] });
    rmSync(scratch.path("library.bin"));
    writeFileSync(scratch.path("library.bin"), "");
    expect((await serving.call("GET", `/v2/a/blobs/${digestOf(blob)}`)).body.equals(blob)).toBe(true);
    library.end();
    const short = { fd: openSync(scratch.path("library.bin"), "r"), offset: 0, size: 1000, close: () => {} };
    const broken: Repository = {
      tags: async () => [],
      resolve: async () => undefined,
      referrers: async () => [],
      open: async () => short,
    };
    await using second = await Serving.start({
      libraries: [{ ...library, repository: async () => broken }],
      store: "",
    });
    await expect(second.call("GET", `/v2/a/blobs/${digestOf(blob)}`)).rejects.toThrow(
      /aborted|hang up|reset/,
    );
    expect(second.log.at(-1)?.error).toContain("the file ends at 0");
    closeSync(short.fd);
  });

  it("is complete without the bundle that it mounted from, and beside which it was pushed to", async () => {
    using scratch = new Scratch();
    const index = makeIndex([image, makeImage("two", [blob, bytesOf("more", 1000)])]);
    const library = libraryOf(scratch, "base", index, "v1");
    await using serving = await Serving.start({ libraries: [library] });
    expect(
      (await serving.call("POST", `/v2/mine/blobs/uploads/?mount=${digestOf(blob)}&from=base`)).status,
    ).toBe(201);
    const put = await serving.pushManifest(
      "base",
      "copy",
      index.blobs.get(index.root.digest) as Buffer,
      index.root.mediaType,
    );
    expect([put.status, put.headers.warning]).toEqual([201, undefined]);
    await serving.server.close();
    library.end();
    await serving.open();
    expect((await serving.call("GET", `/v2/mine/blobs/${digestOf(blob)}`)).body.equals(blob)).toBe(true);
    expect((await serving.call("GET", "/v2/base/manifests/copy")).headers["docker-content-digest"]).toBe(
      index.root.digest,
    );
    for (const [digest, bytes] of index.blobs) {
      const kind =
        bytes[0] === 0x7b && bytes.includes("mediaType") && bytes.includes("schemaVersion")
          ? "manifests"
          : "blobs";
      expect((await serving.call("GET", `/v2/base/${kind}/${digest}`)).body.equals(bytes)).toBe(true);
    }
  });

  it("leaves bundles alone: what comes from one can't be deleted, and what is pushed over it wins", async () => {
    using scratch = new Scratch();
    const library = libraryOf(scratch, "a", image, "v1");
    await using serving = await Serving.start({ libraries: [library] });
    for (const path of ["manifests/v1", `manifests/${image.root.digest}`, `blobs/${digestOf(blob)}`])
      expect((await serving.call("DELETE", `/v2/a/${path}`)).status).toBe(405);
    const newer = makeImage("newer", [blob]);
    await serving.pushImage("a", newer, "v1");
    expect((await serving.call("GET", "/v2/a/manifests/v1")).headers["docker-content-digest"]).toBe(
      newer.root.digest,
    );
    expect((await serving.call("DELETE", "/v2/a/manifests/v1")).status).toBe(202);
    expect((await serving.call("GET", "/v2/a/manifests/v1")).headers["docker-content-digest"]).toBe(
      image.root.digest,
    );
    library.end();
  });

  it("answers a mirror's ns by the path of the host layout, then by the plain name", async () => {
    await using serving = await Serving.start();
    const other = makeImage("other", [blob]);
    await serving.pushImage("registry.k8s.io/pause", image, "3.9");
    await serving.pushImage("pause", other, "3.9");
    await serving.pushImage("localhost-5000/x", image, "1");
    const digest = async (path: string): Promise<unknown> =>
      (await serving.call("HEAD", `/v2/${path}`)).headers["docker-content-digest"];
    expect(await digest("pause/manifests/3.9?ns=registry.k8s.io")).toBe(image.root.digest);
    expect(await digest("registry.k8s.io/pause/manifests/3.9?ns=registry.k8s.io")).toBe(image.root.digest);
    expect(await digest("pause/manifests/3.9?ns=k8s.gcr.io")).toBe(other.root.digest);
    expect(await digest("pause/manifests/3.9")).toBe(other.root.digest);
    expect(await digest("x/manifests/1?ns=localhost:5000")).toBe(image.root.digest);
    expect(await digest("x/manifests/1?ns=../../etc")).toBeUndefined();
  });
});
