import { AirgapError, messageOf } from "../errors.ts";
import { isRecord } from "../oci/descriptor.ts";

export interface DockerWishes {
  /** Cgroup driver of containers; undefined leaves it unchanged. */
  cgroupDriver?: "systemd" | "cgroupfs" | undefined;
  /** Registry with http, or without a certificate check. */
  insecure?: string | undefined;
  /** Mirrors of docker.io; Docker supports none for other registries. */
  mirrors?: string[] | undefined;
}

const isDriver = (option: unknown): boolean =>
  typeof option === "string" && option.startsWith("native.cgroupdriver=");
const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

function read(text: string | undefined, host: string): Record<string, unknown> {
  if (text === undefined || text.trim() === "") return {};
  try {
    const value: unknown = JSON.parse(text);
    if (isRecord(value)) return value;
    throw new SyntaxError("it is not a JSON object");
  } catch (cause) {
    throw new AirgapError(
      "check-failed",
      `${host}: cannot read /etc/docker/daemon.json: ${messageOf(cause)}`,
      {
        cause,
        suggestions: [
          `correct it, or move it away on ${host}: mv /etc/docker/daemon.json /etc/docker/daemon.json.old`,
        ],
      },
    );
  }
}

/**
 * Docker's configuration with the settings for Kubernetes at this site; all other settings stay.
 * https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file
 * @param text the file's present content on the host
 */
export function mergeDockerConfig(
  text: string | undefined,
  { cgroupDriver, insecure, mirrors }: DockerWishes,
  host: string,
): string {
  const config = read(text, host);
  const options = listOf(config["exec-opts"]).filter((option) => !isDriver(option));
  const added = (key: string, values: string[]): Record<string, unknown> =>
    values.length === 0 ? {} : { [key]: [...new Set([...listOf(config[key]), ...values])] };
  const merged = {
    ...config,
    ...(cgroupDriver ? { "exec-opts": [...options, `native.cgroupdriver=${cgroupDriver}`] } : {}),
    ...added("insecure-registries", insecure === undefined ? [] : [insecure]),
    ...added("registry-mirrors", mirrors ?? []),
  };
  return `${JSON.stringify(merged, undefined, 2)}\n`;
}
