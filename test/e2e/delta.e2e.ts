import { readFileSync, statSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AIRGAP, type CliResult, cli } from "../support/cli.ts";
import { startDockerRegistry } from "../support/docker-registry.ts";
import { bytesOf, makeImage } from "../support/images.ts";
import { writeLayout } from "../support/layout.ts";
import { Scratch } from "../support/scratch.ts";
import { Serving } from "../support/serve.ts";

/** Receipts and deltas between real registries: nobody remembers what was sent before. */

const scratch = new Scratch();
const at = (name: string): string => scratch.path(name);
const env = { AIRGAP_KEY_PASSPHRASE: "secret", XDG_CONFIG_HOME: at("config") };
const base = bytesOf("base", 4_000_000);
const image = (name: string) => makeImage(name, [base, bytesOf(name, 60_000)]);

async function airgap(...args: string[]): Promise<CliResult> {
  const result = await cli(args, env);
  expect(result, `${AIRGAP} ${args.join(" ")}\n${result.stderr}`).toMatchObject({ code: 0 });
  return result;
}
const json = async <T>(...args: string[]): Promise<T> =>
  JSON.parse((await airgap(...args, "--json")).stdout) as T;

function spec(...tags: string[]): void {
  writeLayout(at("layout"), Object.fromEntries(tags.map((tag) => [tag, image(tag)])));
  scratch.spec(
    `images:\n${tags.map((tag) => `  - { ref: "quay.io/team/app:${tag}", from: "oci:layout:${tag}" }`).join("\n")}`,
  );
}

beforeAll(async () => {
  for (const name of ["inside", "other"]) await airgap("keys", "make", at(name));
  spec("v1", "v2");
  await airgap("build", at("site.yaml"), "-o", at("old.tar"));
  spec("v2", "v3");
  await airgap("build", at("site.yaml"), "-o", at("full.tar"));
});
afterAll(() => scratch[Symbol.dispose]());

describe.each(["docker-registry", "airgap serve --store"])("%s", (kind) => {
  let host = "";
  let stop = async (): Promise<void> => {};
  beforeAll(async () => {
    if (kind.startsWith("airgap")) {
      const serving = await Serving.start();
      host = new URL(serving.server.url).host;
      stop = async () => serving[Symbol.asyncDispose]();
    } else {
      const registry = await startDockerRegistry(scratch.dir);
      host = registry.host;
      stop = async () => registry[Symbol.asyncDispose]();
    }
    await airgap("push", at("old.tar"), host, "--insecure");
  });
  afterAll(() => stop());

  it("tells by a receipt what it has; the delta for it has the rest, and its push asks for nothing more", async () => {
    await airgap("receipt", host, "-o", at("receipt.json"), "--sign-key", at("inside.key"), "--insecure");
    const args = ["build", at("site.yaml"), "-o", at("delta.tar"), "--locked", "--since", at("receipt.json")];
    // The receipt's signature is checked where a key is asked for; a changed receipt is refused in any case.
    expect(await cli([...args, "--key", at("other.pub")], env)).toMatchObject({ code: 3 });
    const receipt = readFileSync(at("receipt.json"), "utf8");
    scratch.write("receipt.json", receipt.replace('"size": ', '"size": 1'));
    expect(await cli(args, env)).toMatchObject({ code: 3, stderr: expect.stringContaining("other content") });
    scratch.write("receipt.json", receipt);
    const { delta } = await json<{ delta: { bytes: number } }>(...args, "--key", at("inside.pub"));
    expect(delta.bytes).toBeGreaterThan(base.length);
    // The changed blobs, and a frame that is small.
    expect(statSync(at("delta.tar")).size).toBeLessThan(60_000 + 20_000);
    const pushed = await json<{ totals: { sent: { bytes: number } } }>(
      "push",
      at("delta.tar"),
      host,
      "--insecure",
    );
    expect(pushed.totals.sent.bytes).toBeLessThan(70_000);
    const again = await json<{ images: { state: string }[] }>(
      "push",
      at("full.tar"),
      host,
      "--insecure",
      "--repair",
    );
    expect(again.images.map(({ state }) => state)).toEqual(["pushed", "pushed"]);
    expect(await json("push", at("full.tar"), host, "--insecure")).toMatchObject({
      totals: { sent: { blobs: 0 } },
      images: [{ state: "present" }, { state: "present" }],
    });
    await airgap("merge", at("old.tar"), at("delta.tar"), "-o", at("merged.tar"));
    expect(readFileSync(at("merged.tar")).equals(readFileSync(at("full.tar")))).toBe(true);
  });

  it("plans what may be pruned, and keeps it", async () => {
    const plan = await json<{ unnamed: { name: string }[] }>(
      "push",
      at("full.tar"),
      host,
      "--insecure",
      "--prune-plan",
    );
    expect(plan.unnamed.map(({ name }) => name)).toEqual([`${host}/quay.io/team/app:v1`]);
    const both = await json(
      "push",
      at("full.tar"),
      host,
      "--insecure",
      "--prune-plan",
      "--keep",
      at("old.tar"),
    );
    expect(both).toMatchObject({ unnamed: [] });
  });
});

it("a registry that has nothing of it refuses the delta before the first byte", async () => {
  await using serving = await Serving.start();
  const { host } = new URL(serving.server.url);
  const answer = await cli(["push", at("delta.tar"), host, "--insecure"], env);
  expect(answer).toMatchObject({ code: 3, stderr: expect.stringContaining("does not have") });
  expect(serving.log.filter(({ method }) => !["GET", "HEAD"].includes(method))).toEqual([]);
});
