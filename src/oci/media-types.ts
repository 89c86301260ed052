/** https://github.com/opencontainers/image-spec/blob/v1.1.0/media-types.md and Docker's own. */
export const MediaType = {
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar",
  ociLayerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  ociEmpty: "application/vnd.oci.empty.v1+json",
  dockerIndex: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar",
  dockerLayerGzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  dockerForeignLayer: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
  dockerSchema1: "application/vnd.docker.distribution.manifest.v1+json",
  dockerSchema1Signed: "application/vnd.docker.distribution.manifest.v1+prettyjws",
} as const;

const INDEXES: readonly string[] = [MediaType.ociIndex, MediaType.dockerIndex];
const MANIFESTS: readonly string[] = [MediaType.ociManifest, MediaType.dockerManifest];
const SCHEMA1: readonly string[] = [MediaType.dockerSchema1, MediaType.dockerSchema1Signed];

export const isIndexType = (type: string): boolean => INDEXES.includes(type);
export const isManifestType = (type: string): boolean => MANIFESTS.includes(type);
export const isSchema1Type = (type: string): boolean => SCHEMA1.includes(type);
/** Whether a registry keeps content of this type under /manifests/. */
export const isManifestLike = (type: string): boolean => isIndexType(type) || isManifestType(type);
/** Layers that their publisher does not let registries distribute; carried only on request. */
export const isForeignLayer = (type: string): boolean =>
  type === MediaType.dockerForeignLayer ||
  type.startsWith("application/vnd.oci.image.layer.nondistributable.v1.");

/**
 * Whether a text can be a media type: it becomes a response header, so it is one line of printable
 * ASCII. Parameters are allowed, although RFC 6838 has none in a media type's name.
 */
export const isMediaType = (type: string): boolean =>
  /^[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?$/.test(type);

/** The accepted media types of a manifest; schema 1 comes last, so that it can be refused by name. */
export const ACCEPT_MANIFESTS = [...INDEXES, ...MANIFESTS, ...SCHEMA1, "*/*;q=0.1"].join(", ");

/** The JSON value {}: the config of an artifact. image-spec v1.1 manifest.md, "guidance for an empty descriptor". */
export const EMPTY_JSON = Buffer.from("{}");
