import type { Become } from "./host.ts";

/** The key of a host that ssh does not know yet. */
export interface HostKey {
  /** In ssh's form: `10.0.0.12` or `[10.0.0.12]:2222`. */
  host: string;
  /** `ED25519` */
  type: string;
  /** `SHA256:…` */
  fingerprint: string;
  /** ssh knows the host by a key of another type. */
  otherKnown: boolean;
}

/** How to connect, and who answers ssh's questions. */
export interface SshOptions {
  become: Become;
  password?: string;
  /** Name of the password's variable, for messages. */
  passwordEnv?: string;
  passphrase?: string;
  /** The only host key that is accepted, whatever known_hosts says. */
  fingerprint?: string;
  /** File that keeps the keys of hosts with a `fingerprint`. */
  knownHosts: string;
  /** Decides about the key of a host that ssh does not know yet. */
  confirm?: (key: HostKey) => Promise<boolean>;
  signal?: AbortSignal;
  connectMs?: number;
}
