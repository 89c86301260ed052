import { AirgapError } from "../errors.ts";
import type { HostKey, SshOptions } from "./ssh-options.ts";
import type { Resolved, SshTarget } from "./ssh-target.ts";

/** Questions that askpass.sh writes down, by the names of its files. */
export const ANSWERS = ["host-key", "passphrase", "other"] as const;
type Read = (name: (typeof ANSWERS)[number]) => string | undefined;

/** What a question about a host's key says. Undefined where it is another question, or speaks of several keys. */
export function parseHostKey(question: string): HostKey | undefined {
  const host = /^The authenticity of host '(\S+?)(?: \(.*?\))?' can't be established/.exec(question)?.[1];
  const keys = [...question.matchAll(/^([\w-]+) key fingerprint is (SHA256:[A-Za-z0-9+/]{43})\.$/gm)];
  const [, type, fingerprint] = keys[0] ?? [];
  if (host === undefined || type === undefined || fingerprint === undefined || keys.length > 1)
    return undefined;
  return { host, type, fingerprint, otherKnown: /keys of different type are already known/.test(question) };
}

/** The host key that ssh asked about, when it ended because of the answer. */
export function askedHostKey(stderr: string, read: Read): HostKey | undefined {
  const question = /Host key verification failed/.test(stderr) ? read("host-key") : undefined;
  return question === undefined ? undefined : parseHostKey(question);
}

interface Failure {
  target: SshTarget;
  resolved: Resolved;
  options: SshOptions;
  stderr: string;
  read: Read;
}

const last = (stderr: string): string => stderr.trim().split(/\r*\n/).slice(-3).join("; ").trim();

function unknownKey({ target, options }: Failure, asked: HostKey): AirgapError {
  const shown = `${asked.host} shows the ${asked.type} key ${asked.fingerprint}`;
  if (options.fingerprint !== undefined) {
    return new AirgapError(
      "unauthorized",
      `${target.name}: ${shown}, the cluster file says ${options.fingerprint}`,
      {
        suggestions: [
          "compare with what the host itself says: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
          `if it is right, write hostKey: "${asked.fingerprint}" for ${target.name}`,
        ],
      },
    );
  }
  return new AirgapError("unauthorized", `${target.name}: ${shown}, which nobody has accepted yet`, {
    suggestions: [
      "compare it with what the host itself says: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
      ...(asked.otherKnown
        ? ["ssh knows this host by a key of another type: it is not new, or it is another machine"]
        : []),
      `if it is right, write hostKey: "${asked.fingerprint}" for ${target.name} in the cluster file`,
      `or connect once by hand: ${byHand(asked)}`,
      ...(asked.otherKnown ? [] : ["or accept what every new host shows: --accept-new-host-keys"]),
    ],
  });
}

const byHand = ({ host }: HostKey): string => `ssh ${host.replace(/^\[(.*)\]:(\d+)$/, "-p $2 $1")}`;

/** A jump host's key is its own affair: nobody has said anything about it in the cluster file. */
function unknownJump({ target }: Failure, asked: HostKey): AirgapError {
  return new AirgapError(
    "unauthorized",
    `${target.name}: ${asked.host}, a host on the way, shows the ${asked.type} key ${asked.fingerprint}, which ssh does not know`,
    { suggestions: [`compare it with the host's own, and connect once by hand: ${byHand(asked)}`] },
  );
}

function refused({ target, resolved, options, stderr, read }: Failure): AirgapError {
  const methods = /Permission denied \(([^)]*)\)/.exec(stderr)?.[1] ?? "";
  const other = read("other");
  const tried = options.password !== undefined ? "the password was refused" : "no key was accepted";
  const locked = read("passphrase") !== undefined && options.passphrase === undefined;
  const wrong = read("passphrase") !== undefined && options.passphrase !== undefined;
  const why = other
    ? `ssh asked "${other}", which is not about this host`
    : locked
      ? "the key has a passphrase"
      : wrong
        ? "the key's passphrase is wrong, or the key was refused"
        : options.password === undefined && options.passwordEnv !== undefined
          ? `${tried}, and ${options.passwordEnv}, which is to hold the password, is not set`
          : tried;
  return new AirgapError(
    "unauthorized",
    `${target.name}: ${resolved.user}@${target.address} can't log in: ${why}${methods ? ` (the host takes ${methods})` : ""}`,
    {
      suggestions: [
        ...(locked
          ? [
              "name the variable that holds it: `ssh: { passphraseEnv: NAME }`, or put the key into an agent: ssh-add",
            ]
          : []),
        ...(options.password === undefined && options.passwordEnv !== undefined
          ? [`export ${options.passwordEnv}=…`]
          : []),
        ...(options.password === undefined && options.passwordEnv === undefined
          ? [
              "name a key or the variable that holds the password: `ssh: { identityFile: …, passwordEnv: NAME }`",
            ]
          : []),
        `try it by hand: ssh ${target.port && target.port !== 22 ? `-p ${target.port} ` : ""}${resolved.user}@${target.address}`,
      ],
    },
  );
}

/** Why ssh did not connect, in words, with the way on. */
export function explain(failure: Failure): AirgapError {
  const { target, stderr, read } = failure;
  if (/REMOTE HOST IDENTIFICATION HAS CHANGED/.test(stderr)) {
    const pinned = failure.options.fingerprint !== undefined;
    const offered = /SHA256:[A-Za-z0-9+/]{43}/.exec(stderr)?.[0];
    return new AirgapError(
      "unauthorized",
      `${target.name}: the host key of ${target.address} has changed${offered ? ` to ${offered}` : ""}: another machine, one that was installed anew, or somebody in between`,
      {
        suggestions: pinned
          ? [`when you know why, say so in the cluster file: hostKey: "${offered ?? "SHA256:…"}"`]
          : [
              `when you know why: ssh-keygen -R ${target.port && target.port !== 22 ? `'[${target.address}]:${target.port}'` : target.address}`,
            ],
      },
    );
  }
  const asked = askedHostKey(stderr, read);
  if (asked !== undefined) return unknownKey(failure, asked);
  const onTheWay = parseHostKey(read("other") ?? "");
  if (onTheWay !== undefined) return unknownJump(failure, onTheWay);
  if (/Permission denied|Too many authentication failures|No supported authentication/.test(stderr))
    return refused(failure);
  return new AirgapError(
    "network",
    `${target.name}: no connection to ${target.address}: ${last(stderr) || "ssh said nothing"}`,
    {
      suggestions: [
        `try it by hand: ssh ${target.port && target.port !== 22 ? `-p ${target.port} ` : ""}${failure.resolved.user}@${target.address}`,
      ],
    },
  );
}
