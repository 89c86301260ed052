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

describe("the date of a Release file", () => {
  const dateOf = async (lines: string[]) => {
    const { dir, context, close } = await packageContext();
    const packages = packagesText([]);
    writeFileSync(join(dir, "Packages"), packages);
    const sum = createHash("sha256").update(packages).digest("hex");
    writeFileSync(
      join(dir, "Release"),
      `${[...lines, "SHA256:", ` ${sum} ${packages.length} Packages`].join("\n")}\n`,
    );
    const entry = { id: "r", uris: dir, suites: ["/"] };
    try {
      const opened = await openRepository(entry, debSet({ repositories: [entry], install: ["x"] }), context);
      await Promise.all(opened.map((each) => each.close()));
      return opened.map(({ dated, date }) => [dated, date]);
    } finally {
      await close();
    }
  };

  it.each([
    [["Date: Sat, 31 Jan 2026 10:20:30 UTC"], "2026-01-31T10:20:30Z"],
    [["Date: yesterday"], undefined],
    [["Suite: s"], undefined],
  ])("%j is %s", async (lines, date) => {
    expect(await dateOf(lines)).toEqual([["r /", date]]);
  });
});

describe("the forms of a Packages file", () => {
  const text = packagesText([{ name: "app", version: "1" }]);
  const FORMS: Record<string, Buffer> = {
    "Packages.gz": execFileSync("gzip", ["-c"], { input: text }),
    "Packages.xz": execFileSync("xz", ["-c"], { input: text }),
    "Packages.bz2": execFileSync("bzip2", ["-c"], { input: text }),
    "Packages.lzma": execFileSync("xz", ["--format=lzma", "-c"], { input: text }),
    Packages: Buffer.from(text),
  };

  /** Opens a suite whose Release lists these forms, and whose server has those. */
  async function openForms(listed: string[], there: string[], status = 404): Promise<string[]> {
    const { dir, context, close } = await packageContext();
    const release = [
      "Suite: s",
      "Components: main",
      "Architectures: amd64",
      "SHA256:",
      ...listed.map((name) => {
        const bytes = FORMS[name] as Buffer;
        return ` ${createHash("sha256").update(bytes).digest("hex")} ${bytes.length} main/binary-amd64/${name}`;
      }),
    ];
    writeFileSync(join(dir, "Release"), `${release.join("\n")}\n`);
    gpg("--clearsign", "--output", join(dir, "InRelease"), join(dir, "Release"));
    const inRelease = readFileSync(join(dir, "InRelease"));
    const forms = createServer((request, response) => {
      const name = (request.url ?? "").slice((request.url ?? "").lastIndexOf("/") + 1);
      if (name === "InRelease") response.end(inRelease);
      else if (there.includes(name)) response.end(FORMS[name]);
      else response.writeHead(status).end();
    });
    await new Promise<void>((resolve) => forms.listen(0, "127.0.0.1", resolve));
    const uris = `http://127.0.0.1:${(forms.address() as AddressInfo).port}`;
    const entry = { id: "r", uris, suites: ["s"], signedBy: join(home, "key.asc") };
    try {
      const opened = await openRepository(entry, debSet({ repositories: [entry], install: ["x"] }), context);
      const rows = await Promise.all(opened.map((each) => each.named(["app"])));
      await Promise.all(opened.map((each) => each.close()));
      return rows.flat().map(({ name, version }) => `${name} ${version}`);
    } finally {
      forms.closeAllConnections();
      forms.close();
      await close();
    }
  }

  it.each(Object.keys(FORMS))("%s alone is read", async (name) => {
    expect(await openForms([name], [name])).toEqual(["app 1"]);
  });

  it.each([
    [["Packages", "Packages.gz"], ["Packages"], 404],
    [["Packages.gz", "Packages.xz", "Packages.bz2"], ["Packages.bz2"], 404],
    [["Packages", "Packages.gz"], ["Packages"], 403],
  ])("%j listed, %j there: the next one is taken after HTTP %i", async (listed, there, status) => {
    expect(await openForms(listed, there, status)).toEqual(["app 1"]);
  });

  it("is an error that names the first one where none is there", async () => {
    await expect(openForms(["Packages", "Packages.gz"], [])).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringMatching(/Packages\.gz answered HTTP 404/),
    });
  });
});

describe("a repository without Release", () => {
  const openPlain = async (files: string[], over: { unsigned?: string[]; signedBy?: string }) => {
    const { dir, context, close } = await packageContext();
    for (const name of files) writeFileSync(join(dir, name), packagesText([{ name: "app", version: "1" }]));
    const { unsigned = [], ...keys } = over;
    const entry = { id: "r", uris: dir, suites: ["/"], ...keys };
    try {
      const opened = await openRepository(
        entry,
        debSet({ repositories: [entry], install: ["x"], unsigned }),
        context,
      );
      await Promise.all(opened.map((each) => each.close()));
    } finally {
      await close();
    }
  };

  it("is taken where the spec names what may be unsigned, as apt takes it with trusted=yes", async () => {
    await openPlain(["Packages"], { unsigned: ["*"] });
  });

  it.each([{}, { signedBy: "key.asc" }])("says how to take it otherwise: %j", async (keys) => {
    const over = "signedBy" in keys ? { signedBy: join(home, "key.asc"), unsigned: ["*"] } : {};
    await expect(openPlain(["Packages"], over)).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringMatching(/neither InRelease nor Release: .*\[trusted=yes\]/),
      suggestions: [expect.stringMatching(/^unsigned: \["\*"\]/)],
    });
  });

  it("and without Packages is told as that", async () => {
    await expect(openPlain([], { unsigned: ["*"] })).rejects.toThrow(/nor a Packages file/);
  });
});
