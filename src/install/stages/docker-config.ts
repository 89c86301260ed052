import { AirgapError, messageOf } from "../../errors.ts";
import { isRecord } from "../../oci/descriptor.ts";

export interface DockerWishes {
  systemdCgroup: boolean;
  /** Registry that speaks http. */
  insecure?: string;
}

const isDriver = (option: unknown): boolean =>
  typeof option === "string" && option.startsWith("native.cgroupdriver=");
const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

function read(text: string | undefined, host: string): Record<string, unknown> {
  if (text === undefined || text.trim() === "") return {};
  try {
    const value: unknown = JSON.parse(text);
    if (isRecord(value)) return value;
    throw new SyntaxError("it is no object");
  } catch (cause) {
    throw new AirgapError(
      "check-failed",
      `${host}: /etc/docker/daemon.json can't be read: ${messageOf(cause)}`,
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
 * Docker's configuration with what Kubernetes at this site needs; everything else in it stays.
 * https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file
 * @param text the file as it is on the host
 */
export function mergeDockerConfig(
  text: string | undefined,
  { systemdCgroup, insecure }: DockerWishes,
  host: string,
): string {
  const config = read(text, host);
  const options = listOf(config["exec-opts"]).filter((option) => !isDriver(option));
  const registries = listOf(config["insecure-registries"]);
  const merged = {
    ...config,
    "exec-opts": [...options, `native.cgroupdriver=${systemdCgroup ? "systemd" : "cgroupfs"}`],
    ...(insecure === undefined
      ? {}
      : { "insecure-registries": registries.includes(insecure) ? registries : [...registries, insecure] }),
  };
  return `${JSON.stringify(merged, undefined, 2)}\n`;
}
