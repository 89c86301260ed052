import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AirgapError, messageOf } from "../../errors.ts";
import { run } from "../../host/process.ts";
import { isSecretParameter } from "../../http.ts";

/** A folder of a repository that a kustomization names by URL. */
export interface RemoteBase {
  /** The URL that git fetches from. */
  repository: string;
  /** Below the repository's root; empty for the root. */
  path: string;
  /** Branch, tag or commit; without one, the default branch. */
  ref: string | undefined;
}

/** kustomize takes for a URL what has a scheme, a host of a code forge, or `//` and `?ref=`. */
export function isRemoteBase(name: string): boolean {
  return (
    /^(?:https?|ssh|git|file):\/\/|^git::|^git@|^(?:www\.)?(?:github|gitlab|bitbucket)\.\w+[/:]|\?ref=|\.git(?:\/|$|\?)/.test(
      name,
    ) || /^[\w-]+(?:\.[\w-]+)+\/[\w.-]+\/[\w.-]+/.test(name)
  );
}

/**
 * A remote name without credentials, for messages and the lock. By http(s) a user alone is often a token;
 * by ssh it is only a name.
 */
export const shownRemote = (name: string): string =>
  name
    .replace(/(https?:\/\/)[^/?#\s]*@/i, "$1")
    .replace(/\/\/[^/?#\s]*:[^/?#\s]*@/, "//")
    .replace(/([?&][^=&#]*=)[^&#]*/g, (all, key: string) => (isSecretParameter(key) ? `${key}***` : all));

/** A single file by URL: fetched as it is, not by git. */
export const isFileUrl = (name: string): boolean => /^https?:\/\/[^?]+\.(?:ya?ml|json)(?:\?.*)?$/i.test(name);

/**
 * Reads kustomize's names of remote folders.
 * https://github.com/kubernetes-sigs/kustomize/blob/master/examples/remoteBuild.md
 */
export function parseRemote(name: string): RemoteBase | undefined {
  const [address = "", query = ""] = name.replace(/^git::/, "").split("?", 2) as [string, string?];
  const parameters = new URLSearchParams(query);
  const ref = parameters.get("ref") ?? parameters.get("version") ?? undefined;
  const scheme = /^(?:(?:https?|ssh|git|file):\/\/|git@)/.exec(address)?.[0] ?? "";
  const rest = address.slice(scheme.length).replace(/\/+$/, "");
  const found = cut(rest, scheme);
  if (found === undefined || /[\s\\]|^-/.test(rest) || found.path.split("/").includes("..")) return undefined;
  return { repository: `${scheme || "https://"}${found.repository}`, path: found.path, ref };
}

/** Where the repository ends: at `//`, after `.git`, or on a forge after owner and name. */
function cut(rest: string, scheme: string): { repository: string; path: string } | undefined {
  const slashes = rest.indexOf("//");
  if (slashes > 0) return { repository: rest.slice(0, slashes), path: rest.slice(slashes + 2) };
  const git = /^(.*?\.git)(?:\/(.*))?$/.exec(rest);
  if (git) return { repository: git[1] as string, path: git[2] ?? "" };
  if (scheme === "file://") return { repository: rest, path: "" };
  const owned = /^([^/:]+[/:][^/]+\/[^/]+)(?:\/(.*))?$/.exec(rest);
  return owned ? { repository: owned[1] as string, path: owned[2] ?? "" } : undefined;
}

/** A full commit fixes the content; any other name can mean other content tomorrow. */
export const isPinned = ({ ref }: RemoteBase): boolean => /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(ref ?? "");

const TIMEOUT_MS = 300_000;

/** Repositories at their commits, fetched by git into a folder that is removed at the end. */
export class Checkouts implements AsyncDisposable {
  readonly #made: string[] = [];
  readonly #folders = new Map<string, Promise<string>>();
  readonly #signal: AbortSignal | undefined;

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /** The folder of a base, and the root of its repository. @throws AirgapError `network`, `environment` */
  async folder(base: RemoteBase): Promise<{ folder: string; root: string }> {
    const key = `${base.repository} ${base.ref}`;
    const fetched = this.#folders.get(key) ?? this.#fetch(base);
    this.#folders.set(key, fetched);
    const root = await realpath(await fetched);
    return { folder: join(root, base.path), root };
  }

  async #fetch({ repository, ref }: RemoteBase): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), "airgap-base-"));
    this.#made.push(folder);
    const git = async (...args: string[]): Promise<string> => {
      const result = await run("git", ["-C", folder, "-c", "core.hooksPath=/dev/null", ...args], {
        timeoutMs: TIMEOUT_MS,
        env: { ...process.env, GIT_TERMINAL_PROMPT: "0", GIT_ALLOW_PROTOCOL: "https:http:ssh:git:file" },
        ...(this.#signal ? { signal: this.#signal } : {}),
      }).catch((cause: unknown) => {
        throw new AirgapError("environment", `Cannot run git: ${messageOf(cause)}`, {
          cause,
          suggestions: ["install git, which fetches remote bases"],
        });
      });
      if (result.code === 0) return result.stdout.trim();
      const said = result.stderr.trim().split("\n").slice(-2).join(" ");
      throw new AirgapError("network", `git could not fetch ${shownRemote(repository)} at ${ref}: ${said}`);
    };
    await git("init", "--quiet");
    await git(
      "fetch",
      "--quiet",
      "--depth=1",
      "--no-tags",
      "--no-recurse-submodules",
      repository,
      ref as string,
    );
    await git("checkout", "--quiet", "--detach", "FETCH_HEAD");
    const commit = await git("rev-parse", "HEAD");
    if (commit !== ref)
      throw new AirgapError("corrupt", `${shownRemote(repository)} sent the commit ${commit}, not ${ref}`);
    return folder;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#folders.values());
    for (const folder of this.#made) await rm(folder, { recursive: true, force: true });
  }
}
