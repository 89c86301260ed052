import { basename, resolve } from "node:path";
import { type ChartFinds, findInChart, fittingVersion } from "../discovery/charts/find.ts";
import { type ChartReach, type Obtained, obtainChart } from "../discovery/charts/obtain.ts";
import { MAX_FILE } from "../discovery/documents/parse.ts";
import { group } from "../discovery/images/find.ts";
import { operatorImages } from "../discovery/images/operators.ts";
import { manyVersions } from "../discovery/images/versions.ts";
import { locationsIn } from "../discovery/manifests/applied.ts";
import { decode } from "../discovery/manifests/read.ts";
import { AirgapError } from "../errors.ts";
import { type ArtifactFile, fileFromBytes } from "../lock/artifact.ts";
import type { CarriedFacts } from "../lock/carried-facts.ts";
import { entryNameFrom, titleFrom } from "../lock/names.ts";
import type { Resolution } from "../lock/resolved.ts";
import type { ChartSpec } from "../lock/spec.ts";
import { isRemote, readPlace } from "../transport/url.ts";
import { carry, followLocked } from "./carry.ts";
import { decide } from "./decide.ts";
import { forEntry } from "./entry-error.ts";
import {
  checkNames,
  choicesOf,
  type DocumentsContext,
  refuseUnread,
  tellUndecided,
  wantedOf,
  YAML_TYPE,
} from "./manifests.ts";

const ARCHIVE_TYPE = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
const FILE_TYPE = "application/octet-stream";

function nameOf({ chart, as }: ChartSpec): string {
  const last = basename(chart.replace(/\/+$/, ""))
    .replace(/\.tgz$/, "")
    .replace(/[:@].*$/, "");
  return as ?? entryNameFrom(last);
}

/**
 * Resolves `charts:`. Each is rendered with the spec's values. The bundle carries chart, rendering, and
 * the images that the rendering names. An installation applies the rendering.
 * @param first the index of the first of them in the spec
 * @throws AirgapError
 */
export async function resolveCharts(
  entries: ChartSpec[],
  context: DocumentsContext,
  first = 0,
): Promise<Resolution> {
  const names = entries.map(nameOf);
  checkNames(names, "charts");
  const found: Resolution = { resolved: [], images: [] };
  for (const [i, entry] of entries.entries()) {
    const name = names[i] as string;
    const at = `charts[${first + i}]`;
    const make = (): Promise<Resolution> => makeOne(entry, name, at, context);
    const one = await forEntry(at, () =>
      context.locked ? followLocked("chart", name, context, make) : make(),
    );
    found.resolved.push(...one.resolved);
    found.images.push(...one.images);
  }
  return found;
}

async function makeOne(
  entry: ChartSpec,
  name: string,
  at: string,
  context: DocumentsContext,
): Promise<Resolution> {
  const { baseDir, http, emit, signal, registry, kubeVersion } = context;
  const reach: ChartReach = {
    baseDir,
    http: () => http(),
    emit,
    signal,
    registry,
  };
  const { chart, repo, version } = entry;
  const obtained = await obtainChart({ chart, repo, version }, reach);
  const values = await readValues(entry, reach);
  const namespace = entry.namespace ?? "default";
  const finds = await findInChart(
    obtained,
    {
      release: name,
      namespace,
      values,
      set: entry.set ?? [],
      kubeVersion,
      strict: true,
    },
    reach,
  );
  for (const message of finds.warnings) emit({ type: "warning", message });
  for (const message of finds.notes) emit({ type: "note", message });
  checkVersion(finds, version, at);

  const operators = operatorImages(finds.documents, finds.sightings);
  if (entry.addImages === undefined)
    for (const message of [...operators.warnings, ...manyVersions(finds.sightings)])
      emit({ type: "warning", message: `${at}: ${message}` });
  refuseUnread(`chart ${name}`, finds.unread, entry);
  const images = decide(group([...finds.sightings, ...operators.sightings]), choicesOf(entry));
  tellUndecided(`chart ${name}`, images, emit);
  const { objects = "", hooks = "", hookNames = [] } = finds.rendering ?? {};
  const facts: CarriedFacts = {
    apply: ["rendered.yaml"],
    notRun: hooks === "" ? [] : ["hooks.yaml"],
    images,
    sites: locationsIn([{ title: "rendered.yaml", text: objects }], wantedOf(images)).locations,
    rendered: {
      chart: finds.chart.name,
      version: finds.chart.version,
      kubeVersion: kubeVersion ?? fittingVersion(finds.chart),
      namespace,
      hooks: hookNames,
    },
  };
  const files = [
    fileFromBytes("rendered.yaml", YAML_TYPE, Buffer.from(objects)),
    ...(hooks === "" ? [] : [fileFromBytes("hooks.yaml", YAML_TYPE, Buffer.from(hooks))]),
    ...values.map(({ text }, i) => fileFromBytes(`values/${i}.yaml`, YAML_TYPE, Buffer.from(text))),
    ...chartFiles(obtained, finds),
  ];
  return carry({ kind: "chart", name, files, origins: [obtained.origin], at, facts }, context);
}

/** The chart as it was fetched if it is complete, otherwise file by file with its sub-charts. */
function chartFiles(obtained: Obtained, { chart, tree }: ChartFinds): ArtifactFile[] {
  if (obtained.archive !== undefined && tree === obtained.tree)
    return [
      fileFromBytes(
        `${titleFrom(`${chart.name}-${chart.version}`.replaceAll("/", "_"))}.tgz`,
        ARCHIVE_TYPE,
        obtained.archive,
      ),
    ];
  return [...tree].map(([path, bytes]) => fileFromBytes(`chart/${path}`, FILE_TYPE, bytes));
}

/** A folder or archive has one version; asking for another one is a mistake. */
function checkVersion({ chart }: ChartFinds, asked: string | undefined, at: string): void {
  if (
    asked === undefined ||
    !/^v?\d+\.\d+\.\d+/.test(asked) ||
    asked.replace(/^v/, "") === chart.version.replace(/^v/, "")
  )
    return;
  throw new AirgapError(
    "spec",
    `${at}: version ${asked} is asked for, but the chart ${chart.name} has version ${chart.version}`,
    {
      suggestions: [`version: ${chart.version}`],
    },
  );
}

async function readValues(
  { values = [] }: ChartSpec,
  { baseDir, http, signal }: ChartReach,
): Promise<{ file: string; text: string }[]> {
  return Promise.all(
    values.map(async (file) => {
      const place = isRemote(file) || /^file:/i.test(file) ? file : resolve(baseDir, file);
      return { file, text: decode(await readPlace(http(), place, MAX_FILE, undefined, signal), file) };
    }),
  );
}
