import type { Http } from "../http.ts";
import type { ResolveContext } from "../lock/resolved.ts";
import type { PackageSetSpec } from "../lock/spec.ts";
import { placeOf } from "./locations.ts";

/** The client for a repository, with the certificates that its entry in the spec names. */
export function repositoryHttp(
  repository: PackageSetSpec["repositories"][number],
  context: ResolveContext,
): Http {
  const file = (path: string | undefined): string | undefined =>
    path === undefined ? undefined : placeOf(context.baseDir, path);
  const [caFile, clientCert, clientKey] = [
    file(repository.caFile),
    file(repository.clientCert),
    file(repository.clientKey),
  ];
  return context.http({
    ...(caFile ? { caFile } : {}),
    ...(clientCert ? { clientCert } : {}),
    ...(clientKey ? { clientKey } : {}),
    ...(repository.insecure ? { insecure: true } : {}),
  });
}
