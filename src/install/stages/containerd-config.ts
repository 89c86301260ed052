import { parse, stringify, type TomlTable } from "smol-toml";
import { AirgapError, messageOf } from "../../errors.ts";

export interface ContainerdWishes {
  /** containerd's major version, 1 or 2: it decides the format of a new file. */
  major: number;
  sandbox: string;
  systemdCgroup: boolean;
  /** Folder with hosts.toml files. */
  configPath: string;
}

const V1_CRI = "io.containerd.grpc.v1.cri";
const V2_IMAGES = "io.containerd.cri.v1.images";
const V2_RUNTIME = "io.containerd.cri.v1.runtime";
const RUNC = "io.containerd.runc.v2";
const CNI_BIN = "/opt/cni/bin";

const isTable = (value: unknown): value is TomlTable =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);

function table(parent: TomlTable, ...path: string[]): TomlTable {
  let at = parent;
  for (const name of path) {
    const next = at[name];
    if (!isTable(next)) at[name] = {};
    at = at[name] as TomlTable;
  }
  return at;
}

function read(text: string | undefined, host: string): TomlTable {
  try {
    return text === undefined ? {} : parse(text);
  } catch (cause) {
    throw new AirgapError(
      "check-failed",
      `${host}: cannot read /etc/containerd/config.toml: ${messageOf(cause).split("\n")[0]}`,
      {
        cause,
        suggestions: [
          `correct it, or move it away on ${host}: mv /etc/containerd/config.toml /etc/containerd/config.toml.old`,
        ],
      },
    );
  }
}

/** Docker's packages switch CRI off: "unknown service runtime.v1.RuntimeService". */
function enableCri(config: TomlTable): void {
  const disabled = config["disabled_plugins"];
  if (!Array.isArray(disabled)) return;
  const left = disabled.filter((name) => typeof name !== "string" || !/(?:^|\.)cri(?:$|\.)/.test(name));
  if (left.length > 0) config["disabled_plugins"] = left;
  else delete config["disabled_plugins"];
}

/** The first form of the file had short names. */
function fromVersion1(config: TomlTable): void {
  const plugins = table(config, "plugins");
  const cri = plugins["cri"];
  if (cri === undefined) return;
  plugins[V1_CRI] = cri;
  delete plugins["cri"];
}

/** `mirrors`, and `tls` of `configs`, with `config_path` keep the plugin from loading. */
function useHostsFiles(registry: TomlTable, configPath: string): void {
  delete registry["mirrors"];
  const configs = registry["configs"];
  if (typeof configs === "object" && !Array.isArray(configs)) {
    for (const entry of Object.values(configs as TomlTable))
      if (typeof entry === "object" && !Array.isArray(entry)) delete (entry as TomlTable)["tls"];
  }
  registry["config_path"] = configPath;
}

/**
 * Every runtime that uses runc's shim has this option, whatever its program (`BinaryName`): most of all the
 * default runtime. Old files name theirs `default_runtime` and `untrusted_workload_runtime`.
 */
function runtimes(containerd: TomlTable, systemdCgroup: boolean): void {
  table(containerd, "runtimes", "runc")["runtime_type"] ??= RUNC;
  const named = [containerd["default_runtime"], containerd["untrusted_workload_runtime"]];
  for (const runtime of [...Object.values(table(containerd, "runtimes")), ...named])
    if (isTable(runtime) && runtime["runtime_type"] === RUNC)
      table(runtime, "options")["SystemdCgroup"] = systemdCgroup;
}

/** CNI plugins are where kubernetes-cni and the network's own pods put them, even if a distribution uses another folder. */
function cni(parent: TomlTable): void {
  const settings = table(parent, "cni");
  if (Array.isArray(settings["bin_dirs"])) settings["bin_dirs"] = [CNI_BIN];
  else settings["bin_dir"] = CNI_BIN;
  settings["conf_dir"] = "/etc/cni/net.d";
}

/**
 * containerd's configuration with the settings that Kubernetes needs at this site; everything else in it stays.
 * Files of version 2 are read by containerd 1.3 to 2.x, those of version 3 by 2.x.
 * https://github.com/containerd/containerd/blob/main/docs/cri/config.md
 * @param text the file as it is on the host
 */
export function mergeContainerdConfig(
  text: string | undefined,
  wishes: ContainerdWishes,
  host: string,
): string {
  const config = read(text, host);
  const version = config["version"];
  const third = version === 3 || (version !== 2 && wishes.major >= 2);
  if (version !== 2 && version !== 3) fromVersion1(config);
  const merged: TomlTable = { version: third ? 3 : 2, ...config };
  merged["version"] = third ? 3 : 2;
  enableCri(merged);
  const plugins = table(merged, "plugins");
  if (third) {
    const images = table(plugins, V2_IMAGES);
    table(images, "pinned_images")["sandbox"] = wishes.sandbox;
    useHostsFiles(table(images, "registry"), wishes.configPath);
    const runtime = table(plugins, V2_RUNTIME);
    runtimes(table(runtime, "containerd"), wishes.systemdCgroup);
    cni(runtime);
  } else {
    const cri = table(plugins, V1_CRI);
    cri["sandbox_image"] = wishes.sandbox;
    useHostsFiles(table(cri, "registry"), wishes.configPath);
    runtimes(table(cri, "containerd"), wishes.systemdCgroup);
    cni(cri);
  }
  const result = stringify(merged);
  return result.endsWith("\n") ? result : `${result}\n`;
}
