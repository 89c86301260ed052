import { AirgapError } from "../../errors.ts";
import { digestOf } from "../../oci/digest.ts";
import { MediaType } from "../../oci/media-types.ts";
import { failure } from "../../transport/registry/answer.ts";
import type { RegistryDestination } from "../../transport/registry/destination.ts";
import type { PushImage } from "./plan.ts";

/** An index of one child that nobody has. */
function probe(): Buffer {
  const child = {
    mediaType: MediaType.ociManifest,
    digest: digestOf("a child that no registry has"),
    size: 512,
    platform: { os: "linux", architecture: "amd64" },
  };
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: [child] }));
}

/**
 * Whether a registry takes an index whose children are missing. It is asked with an index without
 * meaning, which is deleted again: there is no other way to know before anything is sent.
 */
export async function takesSparse(
  { client, repository }: RegistryDestination,
  signal?: AbortSignal,
): Promise<boolean> {
  const bytes = probe();
  const path = `/v2/${repository}/manifests/${digestOf(bytes)}`;
  const scopes = [{ repository, actions: "pull,push" as const }];
  const options = { scopes, ...(signal ? { signal } : {}) };
  const answer = await client.send(path, {
    method: "PUT",
    headers: { "content-type": MediaType.ociIndex },
    body: bytes,
    ...options,
  });
  if ([400, 404, 422].includes(answer.status)) {
    await answer.discard();
    return false;
  }
  if (answer.status < 200 || answer.status >= 300)
    throw await failure(answer, `${client.host}/${repository}`, client.host);
  await answer.discard();
  // A registry may refuse to delete it; then a manifest without a name stays.
  const deleted = await client
    .send(path, { method: "DELETE", retry: "never", ...options })
    .catch(() => undefined);
  await deleted?.discard();
  return true;
}

/** The error for images with indexes that a target refuses. */
export function refusesSparse(host: string, images: PushImage[]): AirgapError {
  const names = images.map(({ from }) => from);
  return new AirgapError(
    "check-failed",
    `${host} refuses indexes with missing children, and these are carried with chosen platforms only: ${names.join(", ")}`,
    {
      suggestions: [
        "carry them whole: leave out `platforms: exact` for them in the spec and build again",
        "or serve the bundle, which answers with the index all the same: airgap serve BUNDLE",
      ],
      data: { images: names },
    },
  );
}
