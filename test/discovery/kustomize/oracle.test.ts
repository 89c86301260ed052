import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { emitStream } from "../../../src/discovery/documents/emit.ts";
import { buildKustomization } from "../../../src/discovery/kustomize/build.ts";
import { Scratch } from "../../support/scratch.ts";
import { CORPUS } from "./corpus.ts";

/** The real kustomize, a Go program: .ci/run puts it on the PATH. */
function kustomizeVersion(): string | undefined {
  try {
    return execFileSync("kustomize", ["version"], { encoding: "utf8" }).trim();
  } catch {
    return undefined;
  }
}

const version = kustomizeVersion();
if (version === undefined)
  process.stderr.write(
    "\n*** kustomize is not on the PATH: the comparison with it did NOT run. go install sigs.k8s.io/kustomize/kustomize/v5@v5.6.0\n\n",
  );

test("kustomize is there where it was promised", () => {
  if (process.env["KUSTOMIZE"] === "promised") expect(version).toBeDefined();
});

/** Objects by kind, namespace and name. */
function objects(stream: string): Record<string, unknown> {
  return Object.fromEntries(
    parseAllDocuments(stream, { version: "1.1", merge: true })
      .map(
        (document) =>
          document.toJS() as { apiVersion: string; kind: string; metadata?: Record<string, string> } | null,
      )
      .filter((object) => object !== null)
      .map((object) => [
        [
          object.apiVersion,
          object.kind,
          object.metadata?.["namespace"] ?? "",
          object.metadata?.["name"],
        ].join(" "),
        object,
      ]),
  );
}

describe.skipIf(version === undefined)(`object by object as kustomize ${version}`, () => {
  test("the corpus is large enough", () => {
    expect(CORPUS.length).toBeGreaterThanOrEqual(60);
  });

  test.each(CORPUS)("$name", async ({ files }) => {
    using scratch = new Scratch();
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(scratch.path(path)), { recursive: true });
      writeFileSync(scratch.path(path), text);
    }
    const folder = scratch.path("top/kustomization.yaml" in files ? "top" : "main");
    const theirs = execFileSync("kustomize", ["build", folder], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
    const { documents } = await buildKustomization(folder, { strict: true, warn: () => {} });
    expect(objects(emitStream(documents))).toEqual(objects(theirs));
  });
});
