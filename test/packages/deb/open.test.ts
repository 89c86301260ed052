import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openRepository } from "../../../src/packages/deb/open.ts";
import { packagesText } from "../../support/deb-metadata.ts";
import { debSet, packageContext } from "../../support/packages.ts";

let home = "";
let server: Server;
let keys = "";
const gpg = (...args: string[]): Buffer =>
  execFileSync("gpg", [
    "--homedir",
    home,
    "--batch",
    "--quiet",
    "--yes",
    "--pinentry-mode",
    "loopback",
    "--passphrase",
    "",
    ...args,
  ]);

beforeAll(async () => {
  // The path of gpg's socket must be short.
  home = mkdtempSync(join(tmpdir(), "gpg-"));
  gpg("--quick-generate-key", "test <test@site.local>", "rsa2048", "sign", "never");
  writeFileSync(join(home, "key.asc"), gpg("--armor", "--export"));
  server = createServer((request, response) =>
    request.url === "/key.asc"
      ? response.end(readFileSync(join(home, "key.asc")))
      : response.writeHead(404).end(),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  keys = `http://127.0.0.1:${(server.address() as AddressInfo).port}/key.asc`;
});
afterAll(() => {
  server.close();
  execFileSync("gpgconf", ["--homedir", home, "--kill", "all"]);
  rmSync(home, { recursive: true, force: true });
});

interface Signed {
  hash?: string;
  validUntil?: string;
  detached?: boolean;
  checkValidUntil?: boolean;
  signedBy?: string;
}

/** Opens a flat repository that is signed like this. */
async function open({
  hash = "SHA256",
  validUntil,
  detached,
  checkValidUntil,
  signedBy = join(home, "key.asc"),
}: Signed) {
  const { dir, context, events, close } = await packageContext();
  const repository = join(dir, "repo");
  mkdirSync(repository);
  const packages = packagesText([]);
  writeFileSync(join(repository, "Packages"), packages);
  const sha256 = createHash("sha256").update(packages).digest("hex");
  const lines = [
    "Suite: s",
    ...(validUntil ? [`Valid-Until: ${validUntil}`] : []),
    "SHA256:",
    ` ${sha256} ${packages.length} Packages`,
  ];
  const release = join(repository, "Release");
  writeFileSync(release, `${lines.join("\n")}\n`);
  const sign = detached ? ["--armor", "--detach-sign"] : ["--clearsign"];
  gpg(
    "--digest-algo",
    hash,
    ...sign,
    "--output",
    detached ? `${release}.gpg` : join(repository, "InRelease"),
    release,
  );
  const entry = {
    id: "r",
    uris: repository,
    suites: ["/"],
    signedBy,
    ...(checkValidUntil === undefined ? {} : { checkValidUntil }),
  };
  try {
    const opened = await openRepository(entry, debSet({ repositories: [entry], install: ["x"] }), context);
    await Promise.all(opened.map((each) => each.close()));
    return events;
  } finally {
    await close();
  }
}

const PAST = "Sat, 01 Jan 2022 00:00:00 UTC";
const FUTURE = "Sat, 01 Jan 2222 00:00:00 UTC";

describe("a signed Release", () => {
  it.each([{}, { detached: true }, { hash: "SHA512" }, { validUntil: FUTURE }])(
    "is taken: %j",
    async (signed) => {
      expect(await open(signed)).toEqual([]);
    },
  );

  it.each([{ hash: "SHA1" }, { hash: "SHA1", detached: true }, { hash: "RIPEMD160" }])(
    "is refused as apt refuses it: %j",
    async (signed) => {
      await expect(open(signed)).rejects.toMatchObject({ code: "corrupt" });
    },
  );

  it("says that SHA-1 is why", async () => {
    await expect(open({ hash: "SHA1" })).rejects.toThrow(/with SHA1, which can be forged; apt refuses it/);
  });

  it("is an error after its Valid-Until, unless the spec allows that by name", async () => {
    await expect(open({ validUntil: PAST })).rejects.toMatchObject({
      code: "check-failed",
      message: expect.stringMatching(/valid until 2022-01-01/),
      suggestions: expect.arrayContaining([expect.stringMatching(/^checkValidUntil: false/)]),
    });
    expect(await open({ validUntil: PAST, checkValidUntil: false })).toMatchObject([{ type: "warning" }]);
  });

  it("is warned of when its key comes over plain http", async () => {
    expect(await open({ signedBy: keys })).toMatchObject([
      { type: "warning", message: expect.stringMatching(/comes over plain http/) },
    ]);
  });
});
