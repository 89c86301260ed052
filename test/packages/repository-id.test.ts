import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { resolveClosures } from "../../src/resolve/packages.ts";
import { debSet, packageContext, rpmSet } from "../support/packages.ts";

/** Nobody listens there. */
const DEAD = "http://127.0.0.1:1/debian/main";

const fails = async (kind: "deb" | "rpm", id: string, place: string): Promise<string> => {
  const { context, close } = await packageContext();
  const set =
    kind === "deb"
      ? debSet({ repositories: [{ id, uris: place, suites: ["stable"] }], install: ["x"] })
      : rpmSet({ repositories: [{ id, baseurl: place }], install: ["x"], unsigned: ["*"] });
  try {
    return await resolveClosures(set, context).then(
      () => "",
      ({ message }: Error) => message,
    );
  } finally {
    await close();
  }
};

describe("an error of a repository", () => {
  // Most of these are also words, or parts of words, of the message.
  it.each(["r", "main", "debian", "GET", "1", "updates"])("names it, also where its id is %j", async (id) => {
    for (const kind of ["deb", "rpm"] as const)
      expect(await fails(kind, id, DEAD)).toMatch(new RegExp(`^Repository ${id}: GET ${DEAD}/`));
  });

  it("does so once", async () => {
    const { dir, close } = await packageContext();
    writeFileSync(join(dir, "Release"), "Suite: s\n");
    expect(await fails("deb", "r", dir)).toMatch(/^Repository r: \S/);
    expect(await fails("rpm", "r", `${dir}/$nothing`)).toMatch(/^Repository r: the variable/);
    await close();
  });
});
