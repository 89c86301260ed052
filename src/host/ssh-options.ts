import type { Become } from "./host.ts";

/** The key of a host that is met for the first time. */
export interface HostKey {
  /** As ssh names it: `10.0.0.12` or `[10.0.0.12]:2222`. */
  host: string;
  /** `ED25519` */
  type: string;
  /** `SHA256:…` */
  fingerprint: string;
  /** ssh knows the host by a key of another type. */
  otherKnown: boolean;
}

/** How a connection is made, and who decides about what ssh asks. */
export interface SshOptions {
  become: Become;
  password?: string;
  /** Variable that was to hold the password, for messages. */
  passwordEnv?: string;
  passphrase?: string;
  /** The only host key that is accepted, whatever known_hosts says. */
  fingerprint?: string;
  /** Keys of hosts that have a `fingerprint` are kept here. */
  knownHosts: string;
  /** Asked about a host that is met for the first time. */
  confirm?: (key: HostKey) => Promise<boolean>;
  signal?: AbortSignal;
  connectMs?: number;
}
