import type { Event } from "../events.ts";
import type { Descriptor } from "../oci/descriptor.ts";

const MAX_NAMED = 3;

/** Layers that are not carried: nodes will ask their publisher for them, which they cannot reach. */
export function foreignWarning(image: string, layers: Descriptor[], remedy: string): Event {
  const unique = [...new Map(layers.map((layer) => [layer.digest, layer])).values()];
  const named = unique
    .slice(0, MAX_NAMED)
    .map(({ digest, urls }) => `${digest}${urls?.[0] === undefined ? "" : ` (from ${hostOf(urls[0])})`}`);
  const more = unique.length > MAX_NAMED ? ` and ${unique.length - MAX_NAMED} more` : "";
  return {
    type: "warning",
    message: `${image}: ${unique.length === 1 ? "a foreign layer is" : `${unique.length} foreign layers are`} left out, so it cannot be pulled behind the gap: ${named.join(", ")}${more}`,
    suggestion: remedy,
  };
}

const hostOf = (url: string): string => URL.parse(url)?.host ?? "an address that is not a URL";

/** Something that is attached to an image, and that its registry lists without having it. */
export function danglingWarning(
  image: string,
  { descriptor, tag }: { descriptor: Descriptor; tag?: string | undefined },
): Event {
  const what = tag ?? descriptor.artifactType ?? "something attached to it";
  return {
    type: "warning",
    message: `${image}: ${what} (${descriptor.digest}) is listed by the registry and not there: the image is carried without it`,
  };
}
