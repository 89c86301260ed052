import { writeFileSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import { prunePlan } from "../../src/site/push/prune-plan.ts";
import { takeReceipt } from "../../src/site/receipt.ts";
import { fill } from "../support/fill.ts";
import { type HarborProject, startHarbor, type TestHarbor } from "../support/harbor.ts";
import { bytesOf, makeImage } from "../support/images.ts";
import { writeLayout } from "../support/layout.ts";
import { Scratch } from "../support/scratch.ts";

const [one, old] = [makeImage("one", [bytesOf("one", 300)]), makeImage("old", [bytesOf("old", 300)])];
const users = {
  admin: { password: "Harbor12345", admin: true, rights: { "*": "push" as const } },
  dev: { password: "dev", rights: { site: "push" as const } },
};

/** A Harbor with two tags, and the login that this machine has for it. */
async function start(
  scratch: Scratch,
  login: string,
  project: Partial<HarborProject> = {},
): Promise<TestHarbor> {
  const harbor = await startHarbor({ users, projects: { site: project } });
  fill(harbor.store, "site/quay.io/team/one", one, "v1");
  fill(harbor.store, "site/quay.io/team/one", old, "v0");
  const auth = Buffer.from(login).toString("base64");
  writeFileSync(scratch.path("auth.json"), JSON.stringify({ auths: { [harbor.host]: { auth } } }));
  vi.stubEnv("REGISTRY_AUTH_FILE", scratch.path("auth.json"));
  return harbor;
}

async function plan(scratch: Scratch, { host }: TestHarbor) {
  writeLayout(scratch.path("layout"), { v1: one });
  scratch.spec('images: [{ ref: "quay.io/team/one:v1", from: "oci:layout:v1" }]');
  await scratch.build();
  return await prunePlan({
    ...{ locks: [scratch.path("site.tar")], target: `${host}/site`, layout: "host" as const },
    ...{ map: [], emit: () => {} },
  });
}

describe("the list of a Harbor's repositories", () => {
  afterEach(() => void vi.unstubAllEnvs());

  it("is given by name and password alone: a token for it is not taken", async () => {
    using scratch = new Scratch();
    await using harbor = await start(scratch, "admin:Harbor12345");
    const { unnamed } = await plan(scratch, harbor);
    expect(unnamed.map(({ name }) => name)).toEqual([`${harbor.host}/site/quay.io/team/one:v0`]);
    const { images } = await takeReceipt({ subjects: [`${harbor.host}/site`], emit: () => {} });
    expect(images).toHaveLength(2);
  });

  it("is for administrators", async () => {
    using scratch = new Scratch();
    await using harbor = await start(scratch, "dev:dev");
    await expect(plan(scratch, harbor)).rejects.toMatchObject({
      code: "unauthorized",
      message: expect.stringContaining("lists its repositories to administrators only"),
    });
  });

  it("is not asked for with a login that is wrong, which is shown once", async () => {
    using scratch = new Scratch();
    await using harbor = await start(scratch, "admin:falsch");
    await expect(plan(scratch, harbor)).rejects.toMatchObject({ exit: 3, code: "unauthorized" });
    expect(harbor.failedLogins).toHaveLength(1);
  });

  it("leads to a receipt without what a policy gives to nobody", async () => {
    using scratch = new Scratch();
    await using harbor = await start(scratch, "admin:Harbor12345", { cosign: true });
    const told: string[] = [];
    const { images } = await takeReceipt({
      subjects: [`${harbor.host}/site`],
      emit: (event) => void (event.type === "warning" && told.push(event.message)),
    });
    expect(images).toEqual([]);
    expect(told).toHaveLength(2);
    expect(told[0]).toMatch(/left out of the receipt: .*not signed by cosign/);
  });
});
