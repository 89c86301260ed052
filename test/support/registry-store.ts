import { createHash, randomUUID } from "node:crypto";

export interface StoredManifest {
  mediaType: string;
  bytes: Buffer;
}

export interface Upload {
  repository: string;
  bytes: Buffer;
}

/** Digest of bytes, by the algorithm of `like`. */
export function sha(bytes: Uint8Array, like = "sha256:"): string {
  const algorithm = like.startsWith("sha512:") ? "sha512" : "sha256";
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}

export class StoredRepository {
  readonly manifests = new Map<string, StoredManifest>();
  readonly tags = new Map<string, string>();
  readonly blobs = new Map<string, Buffer>();
}

/** What the tests' registry holds. */
export class RegistryStore {
  readonly repositories = new Map<string, StoredRepository>();
  readonly uploads = new Map<string, Upload>();

  repository(name: string): StoredRepository {
    const repository = this.repositories.get(name) ?? new StoredRepository();
    this.repositories.set(name, repository);
    return repository;
  }

  begin(repository: string): string {
    const id = randomUUID();
    this.uploads.set(id, { repository, bytes: Buffer.alloc(0) });
    return id;
  }

  addBlob(repository: string, bytes: Uint8Array): string {
    const digest = sha(bytes);
    this.repository(repository).blobs.set(digest, Buffer.from(bytes));
    return digest;
  }

  addManifest(repository: string, mediaType: string, bytes: Uint8Array, tag?: string): string {
    const digest = sha(bytes);
    const stored = this.repository(repository);
    stored.manifests.set(digest, { mediaType, bytes: Buffer.from(bytes) });
    if (tag !== undefined) stored.tags.set(tag, digest);
    return digest;
  }

  manifest(repository: string, reference: string): { digest: string; manifest: StoredManifest } | undefined {
    const stored = this.repositories.get(repository);
    const digest = reference.includes(":") ? reference : stored?.tags.get(reference);
    const manifest = digest === undefined ? undefined : stored?.manifests.get(digest);
    return digest === undefined || manifest === undefined ? undefined : { digest, manifest };
  }

  /** Descriptors of the manifests that name `digest` as their subject. */
  referrers(repository: string, digest: string): object[] {
    const found: object[] = [];
    for (const [own, { mediaType, bytes }] of this.repositories.get(repository)?.manifests ?? []) {
      const content = JSON.parse(bytes.toString("utf8")) as {
        subject?: { digest: string };
        artifactType?: string;
        config?: { mediaType: string };
      };
      if (content.subject?.digest !== digest) continue;
      found.push({
        mediaType,
        digest: own,
        size: bytes.length,
        artifactType: content.artifactType ?? content.config?.mediaType ?? "",
      });
    }
    return found;
  }
}
