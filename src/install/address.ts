import { isIP } from "node:net";
import type { Facts } from "../host/facts.ts";

/** A range of addresses: `10.244.0.0/16`. */
export interface Subnet {
  text: string;
  bits: 32 | 128;
  first: bigint;
  last: bigint;
}

/** An IP address as a number. */
export function addressValue(address: string): bigint {
  if (isIP(address) === 4)
    return address.split(".").reduce((value, part) => (value << 8n) | BigInt(part), 0n);
  const [head = "", tail] = address.split("::");
  const words = (text: string): string[] =>
    text
      .split(":")
      .filter(Boolean)
      .flatMap((word) => (word.includes(".") ? quadWords(word) : [word]));
  const [left, right] = [words(head), words(tail ?? "")];
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - left.length - right.length }, () => "0");
  return [...left, ...zeros, ...right].reduce((value, word) => (value << 16n) | BigInt(`0x${word}`), 0n);
}

function quadWords(quad: string): string[] {
  const value = addressValue(quad);
  return [(value >> 16n).toString(16), (value & 0xffffn).toString(16)];
}

/** Reads `ADDRESS/BITS`; an address alone is a range of one. Undefined when it is none. */
export function parseSubnet(text: string): Subnet | undefined {
  const [address = "", length, more] = text.split("/");
  const family = isIP(address);
  if (family === 0 || more !== undefined || (length !== undefined && !/^\d{1,3}$/.test(length)))
    return undefined;
  const bits = family === 4 ? 32 : 128;
  const fixed = length === undefined ? bits : Number(length);
  if (fixed > bits) return undefined;
  const host = (1n << BigInt(bits - fixed)) - 1n;
  const first = addressValue(address) & ~host;
  return { text, bits, first, last: first | host };
}

export function overlap(a: Subnet, b: Subnet): boolean {
  return a.bits === b.bits && a.first <= b.last && b.first <= a.last;
}

export function contains(subnet: Subnet, address: string): boolean {
  const bits = isIP(address) === 4 ? 32 : 128;
  const value = addressValue(address);
  return bits === subnet.bits && subnet.first <= value && value <= subnet.last;
}

/** The n-th address of an IPv4 range: the 10th of the service range is the cluster's DNS. */
export function nthAddress(subnet: Subnet, n: number): string {
  const value = subnet.first + BigInt(n);
  if (subnet.bits === 32) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 0xffn).join(".");
  return Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16)).join(
    ":",
  );
}

/** The interface that has a host's address. */
export function interfaceOf(facts: Facts, address: string): string | undefined {
  return facts.addresses.find(({ cidr }) => cidr.split("/")[0] === address)?.interface;
}
