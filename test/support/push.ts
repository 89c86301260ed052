import type { Event } from "../../src/events.ts";
import { type PushOptions, type PushResult, push } from "../../src/site/push/push.ts";
import type { Credential } from "../../src/transport/credential.ts";
import { fixedCredentials } from "../../src/transport/credentials.ts";
import { Registries } from "../../src/transport/registry/registries.ts";
import type { TestBundle } from "./bundle.ts";
import type { TestRegistry } from "./registry.ts";

export interface Pushed {
  result: PushResult;
  events: Event[];
  /** Labels of the requests that this push made. */
  asked: string[];
}

export interface PushTestOptions extends Partial<Omit<PushOptions, "bundle" | "target" | "registries">> {
  prefix?: string;
  credential?: Credential;
  caFile?: string;
}

/** Pushes as the command does. */
export async function pushTo(
  registry: TestRegistry,
  bundle: TestBundle,
  options: PushTestOptions = {},
): Promise<Pushed> {
  const { prefix = "", credential, caFile, ...rest } = options;
  const events: Event[] = [];
  const emit = (event: Event): void => void events.push(event);
  const registries = new Registries({
    emit,
    retries: 2,
    ...(credential ? { credentials: fixedCredentials({ [registry.host]: credential }) } : {}),
    ...(caFile ? { trust: () => ({ caFile }) } : {}),
  });
  const before = registry.seen.length;
  try {
    const result = await push({
      bundle,
      target: `${registry.host}${prefix}`,
      layout: "host",
      map: [],
      dryRun: false,
      repair: false,
      yes: false,
      concurrency: 4,
      registries,
      emit,
      ...rest,
    });
    return { result, events, asked: registry.seen.slice(before).map(({ label }) => label) };
  } finally {
    await registries.close();
  }
}

/** How often each label occurs. */
export function counts(labels: string[]): Record<string, number> {
  const found: Record<string, number> = {};
  for (const label of labels) found[label] = (found[label] ?? 0) + 1;
  return found;
}
