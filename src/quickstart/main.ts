import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type RunningServer, startServer } from "../../registry/server.ts";
import { build } from "../bundle/build.ts";
import { verifyBundle } from "../bundle/verify.ts";
import { Copier } from "../copy.ts";
import { isAirgapError } from "../errors.ts";
import { count, formatBytes } from "../format.ts";
import { createReporter } from "../report/reporter.ts";
import { push } from "../site/push/push.ts";
import { MemorySource } from "../transport/memory.ts";
import { RegistryDestination } from "../transport/registry/destination.ts";
import { Registries } from "../transport/registry/registries.ts";
import { type MadeImage, makeImages } from "./sample-images.ts";

const root = join(import.meta.dirname, "../..");
const report = createReporter({
  json: false,
  quiet: false,
  progress: "auto",
  verbose: false,
  color: !process.env["NO_COLOR"],
});
const say = (text: string): void => report.document(text);

/** Starts the connected side's registry on the spec's port, or on a free one. */
async function startConnected(store: string): Promise<RunningServer> {
  try {
    return await startServer({ listen: "127.0.0.1:5051", store });
  } catch (error) {
    if (!isAirgapError(error)) throw error;
    return startServer({ listen: "127.0.0.1:0", store });
  }
}

async function fillRegistry(registries: Registries, host: string, images: MadeImage[]): Promise<void> {
  const copier = new Copier();
  for (const { repository, tag, root: descriptor, content } of images) {
    const destination = new RegistryDestination(registries.client(host), repository);
    await copier.copy({
      name: repository,
      root: descriptor,
      tags: [tag],
      source: new MemorySource("memory:quickstart", content),
      destination,
    });
  }
}

/** A copy of the spec of bundles/ in a new folder, with another port when 5051 is taken. */
function placeSpec(folder: string, host: string): string {
  const text = readFileSync(join(root, "bundles/quickstart.yaml"), "utf8");
  const spec = join(folder, "quickstart.yaml");
  writeFileSync(spec, text.replace("127.0.0.1:5051", host));
  return spec;
}

/** Reads every root back from the second registry and compares it. */
async function readBack(
  registries: Registries,
  host: string,
  names: { name: string; digest: string }[],
): Promise<void> {
  for (const { name, digest } of names) {
    const path = name.slice(name.indexOf("/") + 1);
    const [repository = "", tag = ""] = path.split(":");
    const found = (await registries.source(host, repository).resolve(tag)).digest;
    if (found !== digest)
      throw new Error(`${name} has the digest ${found} when read back; expected ${digest}`);
    say(`     ${host}/${repository}:${tag}  ${found}`);
  }
}

async function main(): Promise<void> {
  const folder = join(root, "quickstart");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const images = makeImages();
  const connected = await startConnected(join(folder, "connected"));
  const isolated = await startServer({ listen: "127.0.0.1:0", store: join(folder, "isolated") });
  const registries = new Registries();
  try {
    say(
      `1  A registry runs at ${connected.host}, the connected side. It is airgap's own, and holds ${count(images.length, "small image")} for two platforms each.`,
    );
    await fillRegistry(registries, connected.host, images);

    const spec = placeSpec(folder, connected.host);
    const output = join(folder, "quickstart.tar");
    const built = await build({
      spec,
      output,
      locked: false,
      lockOnly: false,
      fresh: true,
      dryRun: false,
      reuse: [],
      concurrency: 8,
      cacheDir: join(folder, "cache"),
      emit: () => {},
    });
    say(
      `\n2  airgap build bundles/quickstart.yaml -o quickstart.tar\n     ${count(built.items, "item")}, ${count(built.blobs, "blob")}, ${formatBytes(built.size)}; lock ${built.lockDigest}`,
    );

    const verified = await verifyBundle(output, { quick: false, emit: () => {} });
    say(
      `\n3  airgap verify quickstart.tar\n     complete: every byte of ${formatBytes(verified.size)} was hashed or compared`,
    );

    const pushed = await push({
      bundle: output,
      target: isolated.host,
      layout: "host",
      map: [],
      dryRun: false,
      repair: false,
      yes: true,
      concurrency: 4,
      emit: () => {},
    });
    const { sent, mounted } = pushed.totals;
    say(`\n4  airgap push quickstart.tar ${isolated.host}     (an empty registry, the isolated side)`);
    say(
      `     ${count(sent.blobs, "blob")} sent (${formatBytes(sent.bytes)}), ${mounted.blobs} mounted from one another`,
    );

    say("\n5  Every digest, read back from the isolated side:");
    await readBack(registries, isolated.host, pushed.images);
    say(`\nIt works. The files are in ${folder}. Try next:`);
    say("  ./bin/airgap list quickstart/quickstart.tar");
    say(
      "  ./bin/airgap serve quickstart/quickstart.tar     and, in another terminal: curl http://127.0.0.1:5000/v2/_catalog",
    );
    say("  the first real bundle in README.md");
  } finally {
    await registries.close();
    await connected.close(0);
    await isolated.close(0);
  }
}

await main();
