import { AirgapError } from "../../errors.ts";
import type { HttpResponse } from "../../http.ts";
import { isRecord } from "../../oci/descriptor.ts";
import { isRepository } from "../../oci/reference.ts";
import { failure, protocolError } from "./answer.ts";
import type { RegistryClient } from "./client.ts";
import { pages } from "./pages.ts";

const PAGE = 1000;
const MAX_REPOSITORIES = 100_000;
const WHAT = "the list of repositories";

/** Harbor's 401: of an account that is no administrator, or a password that is wrong. */
async function forAdministrators(response: HttpResponse, { host }: RegistryClient): Promise<AirgapError> {
  const cause = await failure(response, WHAT, host);
  return new AirgapError("unauthorized", `${host} lists its repositories to administrators only`, {
    cause,
    suggestions: [`log in as an administrator: docker login ${host}`],
  });
}

/**
 * All repositories of a registry, sorted. Harbor answers administrators only.
 * https://distribution.github.io/distribution/spec/api/#listing-repositories
 * @throws AirgapError when the registry does not list them
 */
export async function listRepositories(client: RegistryClient, signal?: AbortSignal): Promise<string[]> {
  const found = new Set<string>();
  const everything = { client, name: "", scopes: [{ repository: "", actions: "pull" as const }] };
  for await (const response of pages(everything, `/v2/_catalog?n=${PAGE}`, signal)) {
    if (response.status === 401 && (await client.greetsAsHarbor()))
      throw await forAdministrators(response, client);
    if (response.status !== 200) throw await failure(response, WHAT, client.host);
    const value = await response.json(64 * 1024 * 1024);
    const list = isRecord(value) ? value["repositories"] : undefined;
    if (!Array.isArray(list)) throw protocolError(response, "answered without a list of repositories");
    for (const name of list) if (typeof name === "string" && isRepository(name)) found.add(name);
    if (found.size > MAX_REPOSITORIES)
      throw new AirgapError("protocol", `${client.host} lists more than ${MAX_REPOSITORIES} repositories`);
  }
  return [...found].toSorted();
}
