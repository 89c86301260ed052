import type { TestImage } from "./images.ts";
import type { Serving } from "./serve.ts";

/** Pushes an image to our own registry, as the specification says. */
export async function pushImage(
  serving: Serving,
  name: string,
  { root, blobs }: TestImage,
  tag?: string,
): Promise<void> {
  const must = async (answer: ReturnType<Serving["call"]>): Promise<void> => {
    const { status, body } = await answer;
    if (status !== 201) throw new Error(`${status}: ${body}`);
  };
  const manifests = [...blobs].filter(([, bytes]) => bytes.includes('"schemaVersion"'));
  const isManifest = (digest: string): boolean => manifests.some(([each]) => each === digest);
  for (const [digest, body] of blobs)
    if (!isManifest(digest))
      await must(serving.call("POST", `/v2/${name}/blobs/uploads/?digest=${digest}`, { body }));
  for (const [digest, body] of manifests) {
    const { mediaType } = JSON.parse(body.toString("utf8")) as { mediaType: string };
    const reference = digest === root.digest ? (tag ?? digest) : digest;
    await must(
      serving.call("PUT", `/v2/${name}/manifests/${reference}`, {
        body,
        headers: { "content-type": mediaType },
      }),
    );
  }
}
