import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { readLockOf } from "../../src/bundle/diff.ts";
import { withLines } from "../../src/bundle/spec-lines.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage } from "../support/images.ts";
import { writeLayout } from "../support/layout.ts";
import { startRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";

const messageOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "",
    (error: Error) => error.message,
  );

describe("an entry of the spec that a message names", () => {
  it("has its file, line and column", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    const spec = scratch.path("site.yaml");
    fill(registry.store, "a/one", makeImage("one", [bytesOf("one", 900)]), "1");
    scratch.spec(`images:\n  - ${registry.host}/a/one:1\n  - ${registry.host}/a/none:1`);
    expect(await messageOf(scratch.build())).toContain(`wanted by images[1] (${spec}:6:5)`);
    scratch.spec("files:\n  - path: site.yaml\n  - { url: 'https://' }");
    expect(await messageOf(scratch.build())).toContain(`files[1] (${spec}:6:5): 'https://' is not a URL`);
    scratch.spec("files:\n  - { path: none.txt }");
    expect(await messageOf(scratch.build())).toContain(`wanted by files[0] (${spec}:5:5)`);
    scratch.spec("manifests:\n  - none.yaml");
    expect(await messageOf(scratch.build())).toContain(`wanted by manifests[0] (${spec}:5:5)`);
    scratch.write("empty.yaml", "");
    scratch.spec("manifests:\n  - empty.yaml");
    expect(await messageOf(scratch.build())).toContain(`manifests[0] (${spec}:5:5): empty.yaml holds no`);
  });

  it("keeps its number when each entry is tried alone", async () => {
    using scratch = new Scratch();
    const spec = scratch.path("site.yaml");
    for (const name of ["a.yaml", "b.yaml"]) scratch.write(name, "");
    scratch.write("ok.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: x }\n");
    scratch.spec("manifests:\n  - ok.yaml\n  - a.yaml\n  - b.yaml");
    const message = await messageOf(scratch.build({ keepGoing: true }));
    expect(message).toContain(`manifests[1] (${spec}:6:5): a.yaml holds no`);
    expect(message).toContain(`manifests[2] (${spec}:7:5): b.yaml holds no`);
  });

  it("has it in warnings too, and the lock has none of it", async () => {
    using scratch = new Scratch();
    scratch.write(
      "list.yaml",
      "apiVersion: x.example/v1\nkind: Odd\nmetadata: { name: x }\nspec: { image: 'a b' }\n",
    );
    scratch.write("ok.txt", "ok");
    scratch.spec("files: [{ path: ok.txt }]\nmanifests:\n  - list.yaml");
    await scratch.build();
    const warnings = scratch.events.flatMap((event) => (event.type === "warning" ? [event.message] : []));
    for (const message of warnings.filter((each) => each.includes("manifests[")))
      expect(message).toContain(`manifests[0] (${scratch.path("site.yaml")}:6:5)`);
    expect(readFileSync(scratch.path("site.lock.json"), "utf8")).not.toMatch(/yaml:\d+:\d+/);
  });

  it("is not what other documents call so", () => {
    const locate = (entry: string): string => `F:${entry}`;
    expect(withLines("images[0], images[12] and charts[3]: no", locate)).toBe(
      "images[0] (F:images[0]), images[12] (F:images[12]) and charts[3] (F:charts[3]): no",
    );
    for (const other of [
      "manifests[0] of index.json of x",
      "status.images[0].names[1]",
      "images[x]",
      "myimages[0]",
    ])
      expect(withLines(other, locate)).toBe(other);
  });
});

describe("the origins in a lock", () => {
  it("are written as in the spec, so that the same spec gives the same lock in every folder", async () => {
    using scratch = new Scratch();
    const locks: string[] = [];
    for (const folder of ["home/alice/site", "srv/site"]) {
      const at = scratch.path(folder);
      mkdirSync(at, { recursive: true });
      writeLayout(join(at, "layout"), { one: makeImage("one", [bytesOf("one", 900)]) });
      scratch.write(`${folder}/tool.txt`, "tool");
      scratch.write(`${folder}/app.yaml`, "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: x }\n");
      scratch.write(
        `${folder}/site.yaml`,
        `apiVersion: airgap/v1\nkind: Bundle\nname: site\nimages:\n  - { ref: site.example/one:1, from: "oci:layout:one" }\nfiles: [{ path: ./tool.txt }]\nmanifests: [app.yaml]\n`,
      );
      await scratch.build({ spec: join(at, "site.yaml"), lockOnly: true });
      locks.push(readFileSync(join(at, "site.lock.json"), "utf8"));
    }
    expect(locks[0]).toBe(locks[1]);
    expect(locks[0]).not.toContain("alice");
    expect(locks[0]).not.toContain(dirname(scratch.dir));
    expect(readLockOf(scratch.path("srv/site/site.lock.json")).items.map(({ origins }) => origins)).toEqual([
      ["./tool.txt"],
      ["oci:layout:one"],
      ["app.yaml"],
    ]);
  });
});
