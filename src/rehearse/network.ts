import { readFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import { networkInterfaces } from "node:os";
import { addressValue, contains, nthAddress, overlap, parseSubnet, type Subnet } from "../address.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { AirgapError } from "../errors.ts";

/** The network of a rehearsal: its range, and who has which address. */
export interface RehearsalNetwork {
  subnet: string;
  /** The engine's end, from which airgap reaches the hosts. */
  gateway: string;
  /** Where everything goes that is for nobody. */
  outside: string;
  /** The address here of each that the cluster file names; the same one where the network can have it. */
  addresses: ReadonlyMap<string, string>;
  /** Why the addresses of the cluster file cannot be had; absent when they are. */
  mappedBecause?: string;
}

/** Ranges that are tried when the cluster file's own cannot be had: private ones that few use, and one for benchmarks. */
const ELSEWHERE = ["10.213.0.0/20", "10.87.64.0/20", "172.30.176.0/20", "192.168.208.0/20", "198.18.0.0/20"];

/** Addresses that cluster files name as places on the hosts' network. */
export function addressesOf(clusters: readonly Cluster[]): string[] {
  const all = clusters.flatMap(({ hosts, endpoint, registry }) => [
    ...hosts.map(({ address }) => address),
    ...[endpoint?.address, endpoint?.ingress?.address, registry.address].filter((each) => each !== undefined),
  ]);
  return [...new Set(all)];
}

/** The smallest range that holds all of them, from /24 on. */
function rangeOf(addresses: string[]): Subnet | undefined {
  const [first = ""] = addresses;
  if (!addresses.every((each) => isIPv4(each))) return undefined;
  for (let bits = 24; bits >= 16; bits--) {
    const range = parseSubnet(`${first}/${bits}`);
    if (range && addresses.every((each) => contains(range, each) && isHostAddress(range, each)))
      return parseSubnet(`${nthAddress(range, 0)}/${bits}`);
  }
  return undefined;
}

const isHostAddress = (range: Subnet, address: string): boolean =>
  addressValue(address) !== range.first && addressValue(address) !== range.last;

/** The last addresses of a range that nobody has. */
function freeIn(range: Subnet, used: readonly string[], count: number): string[] {
  const found: string[] = [];
  const size = Number(range.last - range.first);
  for (let n = size - 1; n > 0 && found.length < count; n--) {
    const address = nthAddress(range, n);
    if (!used.includes(address)) found.push(address);
  }
  return found;
}

/** Ranges that this machine itself uses: a network of the same range would cut it off from there. */
export function rangesHere(): string[] {
  const own = Object.values(networkInterfaces()).flatMap((each) =>
    (each ?? []).flatMap(({ cidr }) => (cidr !== null && !cidr.includes(":") ? [cidr] : [])),
  );
  return [...own, ...routesHere()];
}

/** Destinations of /proc/net/route, but for the default one: proc_net(5), addresses in the machine's byte order. */
function routesHere(): string[] {
  let text: string;
  try {
    text = readFileSync("/proc/net/route", "latin1");
  } catch {
    return [];
  }
  const quad = (hex: string): string =>
    (hex.match(/../g) ?? [])
      .reverse()
      .map((byte) => Number.parseInt(byte, 16))
      .join(".");
  return text
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const [, destination, , , , , , mask] = line.split("\t");
      if (!destination || !mask || destination === "00000000") return [];
      const bits = [...Number.parseInt(mask, 16).toString(2)].filter((bit) => bit === "1").length;
      return [`${quad(destination)}/${bits}`];
    });
}

/**
 * Chooses the network of a rehearsal: the cluster file's own addresses, unless this machine or the engine uses them.
 * @param taken ranges that are in use
 * @throws AirgapError `environment` when none is free
 */
export function chooseNetwork(clusters: readonly Cluster[], taken: readonly string[]): RehearsalNetwork {
  const wanted = addressesOf(clusters);
  const inUse = taken.flatMap((text) => parseSubnet(text) ?? []);
  const inside = clusters.flatMap(({ kubernetes: { podSubnet, serviceSubnet } }) =>
    [podSubnet, serviceSubnet].flatMap((text) => parseSubnet(text) ?? []),
  );
  const own = rangeOf(wanted);
  const clash = own && inUse.find((each) => overlap(each, own));
  if (own && clash === undefined) {
    const [outside, gateway] = freeIn(own, wanted, 2);
    if (outside && gateway)
      return { subnet: own.text, gateway, outside, addresses: new Map(wanted.map((each) => [each, each])) };
  }
  const mappedBecause =
    clash && own
      ? `${own.text} overlaps ${clash.text}, which is in use on this machine or its engine`
      : "they are not in one IPv4 range of at most /16";
  for (const text of ELSEWHERE) {
    const range = parseSubnet(text);
    if (!range || [...inUse, ...inside].some((each) => overlap(each, range))) continue;
    const addresses = new Map(wanted.map((each, i) => [each, nthAddress(range, 256 + 11 + i)]));
    const [outside = "", gateway = ""] = freeIn(range, [...addresses.values()], 2);
    return { subnet: text, gateway, outside, addresses, mappedBecause };
  }
  throw new AirgapError(
    "environment",
    `No range of addresses is free for the rehearsal: ${ELSEWHERE.join(", ")} are all in use`,
    { suggestions: ["docker network prune"] },
  );
}
