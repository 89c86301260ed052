import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon, freePort } from "./daemon.ts";

export interface DockerRegistry extends AsyncDisposable {
  /** `127.0.0.1:port` */
  host: string;
  daemon: Daemon;
}

/** Debian's docker-registry (distribution 2.8) on loopback, its content below `dir`. */
export async function startDockerRegistry(dir: string, more = ""): Promise<DockerRegistry> {
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  const config = join(dir, `registry-${port}.yml`);
  writeFileSync(
    config,
    `version: 0.1\nlog: {level: warn}\nstorage:\n  filesystem: {rootdirectory: ${join(dir, `registry-${port}`)}}\n  delete: {enabled: true}\nhttp: {addr: "${host}"}\n${more}`,
  );
  const ready = async (): Promise<boolean> => [200, 401].includes((await fetch(`http://${host}/v2/`)).status);
  const daemon = await Daemon.start("docker-registry", ["serve", config], ready);
  return { host, daemon, [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]() };
}
