import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Event } from "../../src/events.ts";
import { HttpClients } from "../../src/http.ts";
import type { ResolveContext } from "../../src/lock/resolved.ts";
import type { PackageSetSpec } from "../../src/lock/spec.ts";

/** A folder of its own with a context to resolve in; `events` collects what is told. */
export async function packageContext(): Promise<{
  dir: string;
  context: ResolveContext;
  events: Event[];
  close(): Promise<void>;
}> {
  const dir = await mkdtemp(join(tmpdir(), "airgap-packages-"));
  const clients = new HttpClients({ retries: 0 });
  const events: Event[] = [];
  const context: ResolveContext = {
    baseDir: dir,
    cacheDir: join(dir, "cache"),
    http: (trust) => clients.for(trust ?? {}),
    emit: (event) => void events.push(event),
  };
  const { rm } = await import("node:fs/promises");
  return {
    dir,
    context,
    events,
    async close() {
      await clients.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

export function rpmSet(
  over: Partial<PackageSetSpec> & Pick<PackageSetSpec, "repositories" | "install">,
): PackageSetSpec {
  return { name: "el9", format: "rpm", for: ["rocky-9"], arch: "x86_64", ...over };
}

export function debSet(
  over: Partial<PackageSetSpec> & Pick<PackageSetSpec, "repositories" | "install">,
): PackageSetSpec {
  return { name: "debian12", format: "deb", for: ["debian-12"], arch: "amd64", unsigned: ["*"], ...over };
}
