import { AirgapError } from "../errors.ts";
import type { HostKey, SshOptions } from "./ssh-options.ts";
import type { ResolvedTarget, SshTarget } from "./ssh-target.ts";

/** Names of the files in which askpass.sh records ssh's questions. */
export const ANSWERS = ["host-key", "passphrase", "other"] as const;
type Read = (name: (typeof ANSWERS)[number]) => string | undefined;

/** Reads ssh's question about a host key. Undefined for another question, or one about several keys. */
export function parseHostKey(question: string): HostKey | undefined {
  const host = /^The authenticity of host '(\S+?)(?: \(.*?\))?' can't be established/.exec(question)?.[1];
  const keys = [...question.matchAll(/^([\w-]+) key fingerprint is (SHA256:[A-Za-z0-9+/]{43})\.$/gm)];
  const [, type, fingerprint] = keys[0] ?? [];
  if (host === undefined || type === undefined || fingerprint === undefined || keys.length > 1)
    return undefined;
  return { host, type, fingerprint, otherKnown: /keys of different type are already known/.test(question) };
}

/** The host key that ssh asked about before it stopped. */
export function askedHostKey(stderr: string, read: Read): HostKey | undefined {
  const question = /Host key verification failed/.test(stderr) ? read("host-key") : undefined;
  return question === undefined ? undefined : parseHostKey(question);
}

interface Failure {
  target: SshTarget;
  resolved: ResolvedTarget;
  options: SshOptions;
  stderr: string;
  /** ssh's exit status, and what the remote shell printed. */
  code?: number | null;
  stdout?: string;
  read: Read;
}

const last = (stderr: string): string => stderr.trim().split(/\r*\n/).slice(-3).join("; ").trim();

function unknownKey({ target, options }: Failure, asked: HostKey): AirgapError {
  const shown = `${asked.host} has the ${asked.type} key ${asked.fingerprint}`;
  if (options.fingerprint !== undefined) {
    return new AirgapError(
      "unauthorized",
      `${target.name}: ${shown}, but the cluster file says ${options.fingerprint}`,
      {
        suggestions: [
          "compare it with the key on the host itself: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
          `if they match, write hostKey: "${asked.fingerprint}" for ${target.name}`,
        ],
      },
    );
  }
  return new AirgapError("unauthorized", `${target.name}: ${shown}, which is not accepted yet`, {
    suggestions: [
      "compare it with the key on the host itself: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
      ...(asked.otherKnown
        ? ["ssh knows this host by a key of another type: the host got a new key, or it is another machine"]
        : []),
      `if they match, write hostKey: "${asked.fingerprint}" for ${target.name} in the cluster file`,
      `or connect once by hand: ${byHand(asked)}`,
      ...(asked.otherKnown ? [] : ["or accept the key of every new host: --accept-new-host-keys"]),
    ],
  });
}

const byHand = ({ host }: HostKey): string => `ssh ${host.replace(/^\[(.*)\]:(\d+)$/, "-p $2 $1")}`;

/** The cluster file does not name the key of a jump host, so it needs another answer. */
function unknownJump({ target }: Failure, asked: HostKey): AirgapError {
  return new AirgapError(
    "unauthorized",
    `${target.name}: the jump host ${asked.host} has the ${asked.type} key ${asked.fingerprint}, which ssh does not know`,
    { suggestions: [`compare it with the key on that host, then connect once by hand: ${byHand(asked)}`] },
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
          ? `${tried}, and the password's variable ${options.passwordEnv} is not set`
          : tried;
  return new AirgapError(
    "unauthorized",
    `${target.name}: ${resolved.user}@${target.address} cannot log in: ${why}${methods ? ` (the host takes ${methods})` : ""}`,
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

/** The login was right, and the shell that it leads to runs no command: nologin, a forced command, a start file that exits. */
function shellEnded({ target, resolved, code, stdout = "", stderr }: Failure): AirgapError {
  const said = last(`${stdout}\n${stderr}`);
  return new AirgapError(
    "unauthorized",
    `${target.name}: ${resolved.user} may log in at ${target.address}, and the login shell ends (exit ${code}) before it runs a command${said ? `: ${said}` : ""}`,
    {
      suggestions: [
        `on the host, see its shell: getent passwd ${resolved.user}; nologin and false run nothing`,
        "look for `exit` in its start files (.bashrc, .profile), and for `command=` in authorized_keys, ForceCommand in sshd_config",
        "or name another user: `ssh: { user: … }`",
      ],
    },
  );
}

/** Why ssh did not connect, in words, with the way on. */
export function explainSshFailure(failure: Failure): AirgapError {
  const { target, stderr, read } = failure;
  if (/REMOTE HOST IDENTIFICATION HAS CHANGED/.test(stderr)) {
    const pinned = failure.options.fingerprint !== undefined;
    const offered = /SHA256:[A-Za-z0-9+/]{43}/.exec(stderr)?.[0];
    return new AirgapError(
      "unauthorized",
      `${target.name}: the host key of ${target.address} has changed${offered ? ` to ${offered}` : ""}: it may be another machine, a reinstalled one, or an attacker in between`,
      {
        suggestions: pinned
          ? [
              `if you know why it changed, write it into the cluster file: hostKey: "${offered ?? "SHA256:…"}"`,
            ]
          : [
              `if you know why it changed: ssh-keygen -R ${target.port && target.port !== 22 ? `'[${target.address}]:${target.port}'` : target.address}`,
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
  // 255 is ssh's own failure; anything else is the status with which the shell over there ended.
  if (typeof failure.code === "number" && failure.code !== 255) return shellEnded(failure);
  return new AirgapError(
    "network",
    `${target.name}: no connection to ${target.address}: ${last(stderr) || "ssh printed nothing"}`,
    {
      suggestions: [
        `try it by hand: ssh ${target.port && target.port !== 22 ? `-p ${target.port} ` : ""}${failure.resolved.user}@${target.address}`,
      ],
    },
  );
}
