import type { Event } from "../../src/events.ts";
import type { Descriptor } from "../../src/oci/descriptor.ts";
import { MemorySource } from "../../src/transport/memory.ts";
import { Registries, type RegistriesOptions } from "../../src/transport/registry/registries.ts";
import type { FetchOptions, Source } from "../../src/transport/types.ts";
import type { TestImage } from "./images.ts";

/** Registries with everything they tell, closed at the end of the scope. */
export function openRegistries(options: RegistriesOptions = {}): {
  registries: Registries;
  events: Event[];
  [Symbol.asyncDispose](): Promise<void>;
} {
  const events: Event[] = [];
  const registries = new Registries({ emit: (event) => events.push(event), ...options });
  return { registries, events, [Symbol.asyncDispose]: () => registries.close() };
}

/** Images at hand as a source, which counts what is read of it. */
export function sourceOf(...images: TestImage[]): Source & { reads: string[] } {
  const memory = new MemorySource(
    "memory:test",
    images.flatMap(({ blobs }) => [...blobs.values()]),
  );
  const reads: string[] = [];
  return {
    name: memory.name,
    reads,
    resolve: (reference) => memory.resolve(reference),
    fetch(descriptor: Descriptor, options?: FetchOptions) {
      reads.push(descriptor.digest);
      return memory.fetch(descriptor, options);
    },
  };
}
