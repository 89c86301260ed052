import { X509Certificate } from "node:crypto";
import type { Host, RunOptions } from "../../host/host.ts";
import { withLibrary } from "../../plan/script.ts";
import { call } from "../../plan/shell.ts";

/** A certificate on a host, by its path below /etc/kubernetes/pki or below /etc, or the kubeconfig that holds it. */
export interface HostCertificate {
  host: string;
  name: string;
  /** Whole days that are left; negative when it has expired. */
  days: number;
  /** Its last moment, ISO 8601. */
  until: string;
}

/** Fewer days than these are a problem. */
export const SOON_DAYS = 30;
const DAY = 86_400_000;

/** Reads what `show_certificates` prints: each certificate below a line `=== NAME`. What is not one is passed over. */
export function readCertificates(host: string, output: string, now: number): HostCertificate[] {
  return output
    .split(/^=== /m)
    .slice(1)
    .flatMap((part) => {
      const [name = "", ...lines] = part.split("\n");
      try {
        const until = new Date(new X509Certificate(lines.join("\n")).validTo);
        return [
          {
            host,
            name,
            days: Math.floor((until.getTime() - now) / DAY),
            until: until.toISOString(),
          },
        ];
      } catch {
        return [];
      }
    });
}

/** The certificates of a host. */
export async function certificatesOf(host: Host, options: RunOptions = {}): Promise<HostCertificate[]> {
  const { stdout } = await host.run(withLibrary(call("show_certificates")), options);
  return readCertificates(host.name, stdout, Date.now());
}

/** The one that ends first comes first. */
export const byEnd = (certificates: HostCertificate[]): HostCertificate[] =>
  certificates.toSorted(
    (a, b) => a.days - b.days || a.host.localeCompare(b.host) || a.name.localeCompare(b.name),
  );

/** What is wrong with those that have expired or are about to. */
export const certificateProblems = (certificates: HostCertificate[]): string[] =>
  certificates
    .filter(({ days }) => days < SOON_DAYS)
    .map(({ host, name, days }) =>
      days < 0 ? `${host}: ${name} has expired` : `${host}: ${name} expires in ${days} days`,
    );
