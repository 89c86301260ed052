import type { Random } from "./random.ts";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const deep = (depth: number): Json => {
  let value: Json = 1;
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value };
  return value;
};

/** Values that somebody would try in the place of another. */
const BAD: ((random: Random) => Json)[] = [
  () => null,
  () => true,
  () => false,
  () => -1,
  () => 0.5,
  () => 2 ** 53,
  () => 1e300,
  () => "",
  () => [],
  () => ({}),
  () => [null],
  () => [[]],
  () => ({ length: 3 }),
  () => "../../../../etc/passwd",
  () => "/etc/passwd",
  () => "a\u0000b",
  () => "a\u001b[31mb",
  () => "gpj.\u202etxt",
  () => "a\u200bb",
  () => "\ud800",
  () => "$(id)",
  () => "'; id; '",
  () => "-rf",
  () => "a\nb",
  () => "__proto__",
  () => "constructor",
  () => "toString",
  () => "a".repeat(100_000),
  () => "..",
  () => "C:\\x",
  (random) => deep(20 + random.below(40)),
  () => ({ ["__proto__"]: { polluted: true } }),
  () => JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}') as Json,
];

/** A copy of a value with some of it replaced, dropped, added, doubled or moved. */
export function mutate(value: unknown, random: Random): unknown {
  const copy = structuredClone(value) as Json;
  for (let i = 0; i <= random.below(3); i++) change(copy, random);
  return copy;
}

function change(root: Json, random: Random): void {
  const places: [Json[] | Record<string, Json>, string | number][] = [];
  const visit = (value: Json): void => {
    if (typeof value !== "object" || value === null) return;
    for (const key of Object.keys(value)) {
      places.push([value, Array.isArray(value) ? Number(key) : key]);
      visit((value as Record<string, Json>)[key] as Json);
    }
  };
  visit(root);
  const [parent, key] = random.pick(places);
  const at = parent as Record<string | number, Json>;
  const bad = (): Json => random.pick(BAD)(random);
  const how = random.below(6);
  if (how <= 2) at[key] = bad();
  else if (how === 3) {
    if (Array.isArray(parent)) parent.splice(Number(key), 1);
    else delete at[key];
  } else if (how === 4) {
    if (Array.isArray(parent)) parent.push(structuredClone(at[key] as Json));
    else
      Object.defineProperty(parent, random.pick(["__proto__", "constructor", "toString", "x", "../x", ""]), {
        value: bad(),
        enumerable: true,
        configurable: true,
        writable: true,
      });
  } else {
    const [other, otherKey] = random.pick(places);
    at[key] = structuredClone((other as Record<string | number, Json>)[otherKey] as Json);
  }
}
