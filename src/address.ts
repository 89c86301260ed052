import { isIP } from "node:net";
import ipaddr from "ipaddr.js";

/** A range of addresses: `10.244.0.0/16`. */
export interface Subnet {
  text: string;
  bits: 32 | 128;
  first: bigint;
  last: bigint;
}

/** The bytes of an IP address, 4 or 16; an IPv4 address inside IPv6 (`::ffff:10.0.0.1`) is IPv4. */
export function addressBytes(address: string): Buffer {
  return Buffer.from(ipaddr.process(address).toByteArray());
}

/** An IP address as a number. */
export const addressValue = (address: string): bigint => BigInt(`0x${addressBytes(address).toString("hex")}`);

/** One spelling for each address: `2001:DB8:0::1` is `2001:db8::1`. */
export const canonicalAddress = (address: string): string =>
  isIP(address) === 0 ? address : ipaddr.process(address).toString();

/** Reads `ADDRESS/BITS`; an address alone is a range of one. Undefined when it is neither. */
export function parseSubnet(text: string): Subnet | undefined {
  const [address = "", length, more] = text.split("/");
  if (isIP(address) === 0 || more !== undefined) return undefined;
  if (length !== undefined && !/^\d{1,3}$/.test(length)) return undefined;
  const bits = addressBytes(address).length === 4 ? 32 : 128;
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
  const bytes = addressBytes(address);
  const value = addressValue(address);
  return bytes.length * 8 === subnet.bits && subnet.first <= value && value <= subnet.last;
}

/** The n-th address of a range: the 10th of the service range is the cluster's DNS. */
export function nthAddress(subnet: Subnet, n: number): string {
  const hex = (subnet.first + BigInt(n)).toString(16).padStart(subnet.bits / 4, "0");
  return ipaddr.fromByteArray([...Buffer.from(hex, "hex")]).toString();
}
