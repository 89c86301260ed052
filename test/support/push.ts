import type { Event } from "../../src/events.ts";
import { type FillOptions, fillRegistry } from "../../src/site/push/fill.ts";
import type { PushResult } from "../../src/site/push/result.ts";
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

export interface PushTestOptions extends Partial<Omit<FillOptions, "bundle" | "target" | "registries">> {
  prefix?: string;
  credential?: Credential;
}

/** Pushes as the command does. */
export async function pushTo(
  registry: TestRegistry,
  bundle: TestBundle,
  options: PushTestOptions = {},
): Promise<Pushed> {
  const { prefix = "", credential, ...rest } = options;
  const events: Event[] = [];
  const emit = (event: Event): void => void events.push(event);
  const registries = new Registries({
    emit,
    retries: 2,
    ...(credential ? { credentials: fixedCredentials({ [registry.host]: credential }) } : {}),
    ...(rest.caFile ? { trust: () => ({ caFile: rest.caFile as string }) } : {}),
  });
  const before = registry.seen.length;
  try {
    const result = await fillRegistry({
      bundle,
      target: `${registry.host}${prefix}`,
      layout: "host",
      map: [],
      dryRun: false,
      repair: false,
      yes: false,
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
