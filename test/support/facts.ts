import type { CarriedFacts } from "../../src/lock/carried-facts.ts";
import type { PackageSetFacts } from "../../src/lock/package-facts.ts";

/** What a lock keeps of documents that name nothing, but for what is given. */
export const carriedFactsOf = (given: Partial<CarriedFacts> = {}): CarriedFacts => ({
  apply: [],
  notRun: [],
  images: [],
  sites: {},
  ...given,
});

/** What a lock keeps of an empty package set, but for what is given. */
export const packageFactsOf = (given: Partial<PackageSetFacts> = {}): PackageSetFacts => ({
  format: "rpm",
  arch: "x86_64",
  for: ["rocky-9"],
  roles: { all: { asked: [], packages: [] } },
  packages: [],
  keys: {},
  signing: { publicKey: "a key", signatures: {} },
  ...given,
});
