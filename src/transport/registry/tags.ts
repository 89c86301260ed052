import { AirgapError } from "../../errors.ts";
import { isRecord } from "../../oci/descriptor.ts";
import { isTag } from "../../oci/reference.ts";
import { failure, protocolError } from "./answer.ts";
import type { Repository } from "./manifests.ts";
import { pages } from "./pages.ts";

const PAGE = 1000;
const MAX_TAGS = 1_000_000;

/**
 * All tags of a repository, in the registry's order.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#listing-tags
 */
export async function listTags(repository: Repository, signal?: AbortSignal): Promise<string[]> {
  const { client, name } = repository;
  const tags = new Set<string>();
  for await (const response of pages(repository, `/v2/${name}/tags/list?n=${PAGE}`, signal)) {
    if (response.status !== 200)
      throw await failure(response, `the tags of ${client.host}/${name}`, client.host);
    const value = await response.json(64 * 1024 * 1024);
    const list = isRecord(value) ? (value.tags ?? []) : undefined;
    if (!Array.isArray(list)) throw protocolError(response, "answered without a list of tags");
    for (const tag of list) if (typeof tag === "string" && isTag(tag)) tags.add(tag);
    if (tags.size > MAX_TAGS)
      throw new AirgapError("protocol", `${client.host}/${name} lists more than ${MAX_TAGS} tags`);
  }
  return [...tags];
}
