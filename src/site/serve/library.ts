import type { Library, Repository } from "../../../registry/library.ts";
import type { Overview } from "../../../registry/overview.ts";
import type { BundleReader } from "../../bundle/reader.ts";
import { AirgapError } from "../../errors.ts";
import { hostComponent, type Reference, tryParseReference } from "../../oci/reference.ts";
import { ChartShelf } from "./charts.ts";
import { BundleFiles } from "./files.ts";
import { overviewOf } from "./overview.ts";
import { BundleRepository, type ServedImage } from "./package-repository.ts";

const DOCKER_HUB = new Set(["docker.io", "index.docker.io", "registry-1.docker.io"]);
const withoutDefaultPort = (host: string): string => host.toLowerCase().replace(/:443$/, "");
const upstreamName = (ns: string): string =>
  DOCKER_HUB.has(ns.toLowerCase()) ? "docker.io" : withoutDefaultPort(ns);

/** Images under each name that they answer to. */
class Names {
  readonly #parts = new Map<string, ServedImage[]>();
  #repositories = new Map<string, BundleRepository>();

  add(name: string, part: ServedImage): void {
    const parts = this.#parts.get(name) ?? [];
    parts.push(part);
    this.#parts.set(name, parts);
  }

  /** @throws AirgapError `conflict` */
  settle(): void {
    this.#repositories = new Map(
      [...this.#parts].map(([name, parts]) => [name, new BundleRepository(name, parts)]),
    );
  }

  get(name: string): BundleRepository | undefined {
    return this.#repositories.get(name);
  }

  all(): string[] {
    return [...this.#repositories.keys()];
  }
}

/**
 * One or several bundles as a registry's content. An image answers under its upstream name (`ns`),
 * under its path in the `host` layout, and, when it is the site's own, under its plain path.
 * Docker's engine asks a mirror of Docker Hub without `ns`: those images answer under their plain
 * path too, where nothing else does.
 */
class BundleLibrary implements Library {
  readonly name: string;
  readonly files: BundleFiles;
  readonly #bundles: BundleReader[];
  readonly #upstream = new Names();
  readonly #hosts = new Names();
  /** What needs no `ns`: the `host` layout and the site's own names. */
  readonly #paths = new Names();
  readonly #hub = new Names();
  readonly #charts: ChartShelf;
  #overview: Promise<Overview> | undefined;

  constructor(bundles: BundleReader[]) {
    this.#bundles = bundles;
    this.#charts = new ChartShelf(bundles);
    this.name = bundles.map(({ path }) => path).join(", ");
    this.files = new BundleFiles(bundles, this.#charts);
    for (const bundle of bundles) {
      for (const item of bundle.lock.items) {
        const reference = item.kind === "image" ? tryParseReference(item.name) : undefined;
        if (reference) this.#add({ bundle, item, reference });
      }
    }
    for (const names of [this.#upstream, this.#hosts, this.#paths, this.#hub]) names.settle();
  }

  #add(part: ServedImage): void {
    const { reference, bundle } = part;
    const { host, repository }: Reference = reference;
    this.#upstream.add(`${upstreamName(host)}/${repository}`, part);
    for (const names of [this.#hosts, this.#paths]) names.add(`${hostComponent(host)}/${repository}`, part);
    const { siteName } = bundle.lock;
    if (siteName !== undefined && withoutDefaultPort(siteName) === withoutDefaultPort(host))
      this.#paths.add(repository, part);
    if (host === "docker.io") this.#hub.add(repository, part);
  }

  async repositories(): Promise<string[]> {
    return [...new Set([...this.#paths.all(), ...this.#charts.names()])].sort();
  }

  /** containerd sends `ns` also when it asks by the path of the `host` layout. */
  async repository(name: string, ns?: string): Promise<Repository | undefined> {
    if (ns !== undefined) return this.#upstream.get(`${upstreamName(ns)}/${name}`) ?? this.#hosts.get(name);
    return this.#paths.get(name) ?? this.#hub.get(name) ?? this.#charts.repository(name);
  }

  overview(): Promise<Overview> {
    this.#overview ??= overviewOf(this.#bundles, this.#charts);
    return this.#overview;
  }

  async check(): Promise<void> {
    for (const bundle of this.#bundles) {
      if (!bundle.file.isWhole) throw new AirgapError("corrupt", `${bundle.path} has become shorter`);
    }
  }
}

/**
 * @param bundles open, and kept open as long as the library is used
 * @throws AirgapError `conflict` when two images, files or package sets of one name differ
 */
export function bundleLibrary(bundles: BundleReader[]): Library {
  return new BundleLibrary(bundles);
}
