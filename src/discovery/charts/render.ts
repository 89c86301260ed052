import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AirgapError, messageOf } from "../../errors.ts";
import { run } from "../../host/process.ts";
import { stringAt } from "../documents/node.ts";
import { MAX_FILE, parseStream } from "../documents/parse.ts";
import { Text } from "../documents/text.ts";
import { type ChartFiles, writeTree } from "./tree.ts";

const TIMEOUT_MS = 120_000;

export interface RenderOptions {
  release: string;
  namespace: string;
  /** Contents of values files, later ones win. */
  values: string[];
  set: string[];
  /** `v1.28.2` */
  kubeVersion: string;
  signal?: AbortSignal | undefined;
}

/** A chart's documents as `helm install` would apply them. */
export interface Rendering {
  /** Custom resource definitions and objects, in Helm's order. */
  objects: string;
  /** What Helm runs before and after an installation and in tests; airgap does not run it. */
  hooks: string;
  hookNames: string[];
}

/** The helm binary's version, or undefined when helm is not on the PATH. */
export async function helmVersion(): Promise<string | undefined> {
  try {
    const { code, stdout } = await run("helm", ["version", "--short"], { timeoutMs: 10_000 });
    return code === 0 ? stdout.trim() : undefined;
  } catch {
    return undefined;
  }
}

/** The minimal environment of a program: no cluster, no plugins, no configuration of the user. */
function environment(home: string): NodeJS.ProcessEnv {
  const { PATH, TMPDIR } = process.env;
  return {
    HOME: home,
    HELM_CONFIG_HOME: join(home, "config"),
    HELM_CACHE_HOME: join(home, "cache"),
    HELM_DATA_HOME: join(home, "data"),
    HELM_PLUGINS: join(home, "plugins"),
    KUBECONFIG: join(home, "none"),
    GOMEMLIMIT: "1GiB",
    ...(PATH ? { PATH } : {}),
    ...(TMPDIR ? { TMPDIR } : {}),
  };
}

/**
 * Renders a chart with the helm binary, in a folder of its own that is removed afterwards.
 * @throws AirgapError `spec` with what helm said
 */
export async function renderChart(
  tree: ChartFiles,
  what: string,
  options: RenderOptions,
): Promise<Rendering> {
  const folder = await mkdtemp(join(tmpdir(), "airgap-chart-"));
  try {
    const chart = join(folder, "chart");
    await mkdir(chart);
    await writeTree(tree, chart);
    const files = await Promise.all(
      options.values.map(async (text, i) => {
        const file = join(folder, `values-${i}.yaml`);
        await writeFile(file, text);
        return file;
      }),
    );
    return split(await helm(chart, files, what, options, join(folder, "home")), what);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function helm(
  chart: string,
  files: string[],
  what: string,
  options: RenderOptions,
  home: string,
): Promise<string> {
  const { release, namespace, set, kubeVersion, signal } = options;
  const args = [
    "template",
    release,
    chart,
    "--namespace",
    namespace,
    "--include-crds",
    "--kube-version",
    kubeVersion,
  ];
  for (const file of files) args.push("--values", file);
  for (const expression of set) args.push("--set", expression);
  const result = await run("helm", args, {
    timeoutMs: TIMEOUT_MS,
    env: environment(home),
    maxOutput: MAX_FILE,
    ...(signal ? { signal } : {}),
  }).catch((cause) => {
    throw new AirgapError("spec", `Cannot render ${what}: ${messageOf(cause)}`, { cause });
  });
  if (result.code === 0) return result.stdout;
  const said = result.stderr
    .replaceAll(chart, what)
    .trim()
    .split("\n")
    .filter((line) => !/^(?:walk\.go|WARNING|Use --debug)/.test(line))
    .slice(-6)
    .join("\n");
  throw new AirgapError("spec", `helm cannot render ${what}: ${said || `it exited with ${result.code}`}`, {
    suggestions: ["give the values that the chart requires with --values or --set (in a spec: values:)"],
  });
}

/** The template that helm names first in an error: the one that it was rendering. */
export function failedTemplate(message: string): string | undefined {
  return /(?:^|[\s(])[^\s/()]+\/((?:charts\/[^\s/()]+\/)*templates\/[^\s():]+):\d+/.exec(message)?.[1];
}

/** Separates hooks from the objects that are applied. https://helm.sh/docs/topics/charts_hooks/ */
function split(rendered: string, what: string): Rendering {
  const text = new Text(what, rendered);
  const hookRanges: [number, number][] = [];
  const hookNames: string[] = [];
  for (const { root, start, end } of parseStream(text)) {
    const hook = stringAt(root, "metadata", "annotations", "helm.sh/hook");
    if (hook === undefined) continue;
    hookRanges.push([start, end]);
    hookNames.push(`${stringAt(root, "kind")}/${stringAt(root, "metadata", "name")} (${hook})`);
  }
  let [objects, hooks, at] = ["", "", 0];
  for (const [start, end] of hookRanges) {
    objects += rendered.slice(at, start);
    hooks += rendered.slice(start, end);
    at = end;
  }
  return { objects: objects + rendered.slice(at), hooks, hookNames };
}
