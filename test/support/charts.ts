import { writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { type ArtifactFile, fileFromBytes, makeArtifact } from "../../src/lock/artifact.ts";
import type { Lock } from "../../src/lock/lock.ts";
import type { Resolved } from "../../src/lock/resolved.ts";
import type { Digest } from "../../src/oci/digest.ts";
import { readBlob } from "../../src/transport/read.ts";
import { tarOf } from "./crafted.ts";
import { carriedFactsOf } from "./facts.ts";
import type { Scratch } from "./scratch.ts";

const filesOf = (name: string, version: string, word: string): Record<string, string> => ({
  "Chart.yaml": `apiVersion: v2\nname: ${name}\nversion: ${version}\ndescription: The ${name}\nappVersion: 1.20\n`,
  "values.yaml": `word: ${word}\n`,
  "templates/größe.yaml":
    "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: m }\ndata: { word: {{ .Values.word | quote }} }\n",
});

const text = (title: string, content: string): ArtifactFile =>
  fileFromBytes(title, "application/yaml", Buffer.from(content));

/** A chart as helm packs it. */
async function packed(files: Record<string, string>, name: string): Promise<Buffer> {
  const tar = pack();
  for (const [path, content] of Object.entries(files)) tar.entry({ name: `${name}/${path}` }, content);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return gzipSync(Buffer.concat(chunks));
}

interface TestChart {
  /** As the spec calls it. */
  as: string;
  name: string;
  version: string;
  files: ArtifactFile[];
}

const resolvedChart = ({ as, name, version, files }: TestChart): Resolved =>
  makeArtifact({
    kind: "chart",
    name: as,
    files: [text("rendered.yaml", "a: 1\n"), ...files],
    origins: ["somewhere"],
    wantedBy: ["test"],
    facts: carriedFactsOf({
      apply: ["rendered.yaml"],
      rendered: { chart: name, version, kubeVersion: "v1.28.2", namespace: "default", hooks: [] },
    }),
  });

/** As `build` carries a chart that was a folder. */
const split = (as: string, name: string, version: string, word = "x"): TestChart => ({
  as,
  name,
  version,
  files: Object.entries(filesOf(name, version, word)).map(([path, content]) =>
    text(`chart/${path}`, content),
  ),
});

async function write(scratch: Scratch, file: string, made: Resolved[]): Promise<string> {
  const contents = new Map<Digest, Buffer>();
  for (const { blobs } of made)
    for (const { descriptor, source } of blobs)
      contents.set(descriptor.digest, await readBlob(source, descriptor, 1 << 20));
  const lock: Lock = {
    apiVersion: "airgap/v1",
    kind: "Lock",
    name: "site",
    platforms: ["linux/amd64"],
    items: made.map(({ item }) => item),
    blobs: [...contents].map(([digest, { length }]) => ({ digest, size: length })),
  };
  writeFileSync(scratch.path(file), tarOf(lock, contents.values()));
  return scratch.path(file);
}

/** A bundle with two charts (one was a folder, one an archive), manifests and a file. */
export async function bundleWithCharts(scratch: Scratch): Promise<{ bundle: string; archive: Buffer }> {
  const archive = await packed(filesOf("web", "1.0.0", "x"), "web");
  const newer = split("web-new", "web", "1.1.0+build.2");
  newer.files.push(text("values/0.yaml", "word: y\n"));
  const older: TestChart = {
    as: "web",
    name: "web",
    version: "1.0.0",
    files: [fileFromBytes("web-1.0.0.tgz", "application/gzip", archive)],
  };
  const named = { origins: ["somewhere"], wantedBy: ["test"] };
  const tool = fileFromBytes("tools/t.tgz", "application/octet-stream", Buffer.from("a tool"));
  const manifests = [text("m.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: m }\n")];
  const facts = carriedFactsOf({ apply: ["m.yaml"] });
  const bundle = await write(scratch, "site.tar", [
    resolvedChart(older),
    resolvedChart(newer),
    makeArtifact({
      kind: "file",
      name: tool.title,
      files: [tool],
      ...named,
      facts: { digest: tool.digest, size: tool.size },
    }),
    makeArtifact({ kind: "manifests", name: "m", files: manifests, ...named, facts }),
  ]);
  return { bundle, archive };
}

/** A bundle whose chart of the same name and version has other values. */
export const bundleWithOtherChart = (scratch: Scratch): Promise<string> =>
  write(scratch, "other.tar", [resolvedChart(split("web", "web", "1.0.0", "other"))]);

/** A bundle with a chart that says to be called so. */
export const bundleWithChartNamed = (scratch: Scratch, name: string, version: string): Promise<string> =>
  write(scratch, "named.tar", [resolvedChart(split("web", name, version))]);
