import type { Http } from "../http.ts";
import type { ResolveContext } from "../lock/resolved.ts";
import type { PackageSetSpec } from "../lock/spec.ts";
import { placeOf } from "./locations.ts";

type Repository = PackageSetSpec["repositories"][number];

/** The origins that a repository's entry names itself. A list of mirrors adds none: those are others. */
function originsOf({ baseurl, mirrorlist, metalink, uris, vars = {} }: Repository): string[] {
  return [baseurl, mirrorlist, metalink, uris].flatMap((place) => {
    const full = place?.replace(
      /\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?/g,
      (text, name: string) => vars[name] ?? text,
    );
    const url = full === undefined ? null : URL.parse(full);
    return url === null ? [] : [url.origin];
  });
}

/** The client for a repository, with the certificates that its entry in the spec names. */
export function repositoryHttp(repository: Repository, context: ResolveContext): Http {
  const file = (path: string | undefined): string | undefined =>
    path === undefined ? undefined : placeOf(context.baseDir, path);
  const [caFile, clientCert, clientKey] = [
    file(repository.caFile),
    file(repository.clientCert),
    file(repository.clientKey),
  ];
  return context.http({
    ...(caFile ? { caFile } : {}),
    ...(clientCert ? { clientCert, clientOrigins: originsOf(repository) } : {}),
    ...(clientKey ? { clientKey } : {}),
    ...(repository.insecure ? { insecure: true } : {}),
  });
}
