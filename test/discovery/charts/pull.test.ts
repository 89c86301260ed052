import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { BundleReader } from "../../../src/bundle/reader.ts";
import { bundleLibrary } from "../../../src/site/serve/library.ts";
import { bundleWithCharts } from "../../support/charts.ts";
import { Scratch } from "../../support/scratch.ts";
import { Serving } from "../../support/serve.ts";

const run = promisify(execFile);
const hasHelm = (() => {
  try {
    execFileSync("helm", ["version", "--short"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

test.skipIf(!hasHelm)("helm takes charts from serve, as a repository and as a registry", async () => {
  using scratch = new Scratch();
  const { bundle, archive } = await bundleWithCharts(scratch);
  await using serving = await Serving.start({
    libraries: [bundleLibrary([BundleReader.open(bundle)])],
    store: "",
  });
  const [cache, config, data] = ["cache", "config", "data"].map((name) => scratch.path(name));
  const env = { ...process.env, HELM_CACHE_HOME: cache, HELM_CONFIG_HOME: config, HELM_DATA_HOME: data };
  const helm = async (...args: string[]): Promise<string> => (await run("helm", args, { env })).stdout;
  const { host, origin } = new URL(serving.server.url);
  const oci = `oci://${host}/charts/web`;
  for (const folder of ["repo", "oci"]) mkdirSync(scratch.path(folder));
  await helm("repo", "add", "site", `${origin}/charts`);
  expect(await helm("search", "repo", "site/web", "--versions", "--devel")).toMatch(
    /1\.1\.0\+build\.2.*1\.0\.0/s,
  );
  for (const version of ["1.0.0", "1.1.0+build.2"]) {
    await helm("pull", "site/web", "--version", version, "-d", scratch.path("repo"));
    await helm("pull", oci, "--version", version, "--plain-http", "-d", scratch.path("oci"));
    const [one, other] = ["repo", "oci"].map((folder) =>
      readFileSync(scratch.path(`${folder}/web-${version}.tgz`)),
    );
    expect(one?.equals(other as Buffer)).toBe(true);
    if (version === "1.0.0") expect(one?.equals(archive)).toBe(true);
    const rendered = await helm("template", scratch.path(`oci/web-${version}.tgz`));
    expect(rendered).toContain('word: "x"');
  }
});
