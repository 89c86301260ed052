import { AirgapError, type ErrorCode } from "../../errors.ts";
import { type HttpResponse, redactUrl } from "../../http.ts";
import { isRecord } from "../../oci/descriptor.ts";
import { apiHost } from "./endpoint.ts";

/** One entry of a registry's error body. distribution-spec v1.1, "Error Codes". */
export interface RegistryProblem {
  code: string;
  message: string;
}

const MAX_ERROR_BODY = 64 * 1024;
const MAX_SHOWN = 400;

const CODE_OF_STATUS: Record<number, ErrorCode> = {
  401: "unauthorized",
  403: "unauthorized",
  404: "not-found",
  408: "network",
};

/** How registries say that something below a manifest is missing. */
const MISSING = new Set(["MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"]);

/** Text from outside, fit for one line of a terminal. */
export function shown(text: string): string {
  const line = [...text]
    .map((character) => (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(character) ? " " : character))
    .join("");
  const single = line.replace(/ +/g, " ").trim();
  return single.length > MAX_SHOWN ? `${single.slice(0, MAX_SHOWN)}…` : single;
}

/** The problems that an answer names; none when its body has another form. Reads the body to its end. */
export async function readProblems(response: HttpResponse): Promise<RegistryProblem[]> {
  const value = await response.json(MAX_ERROR_BODY).catch(() => undefined);
  if (!isRecord(value) || !Array.isArray(value.errors)) return [];
  return value.errors.filter(isRecord).map(({ code, message, detail }) => ({
    code: shown(typeof code === "string" ? code : ""),
    message: shown(
      [message, isRecord(detail) ? undefined : detail]
        .filter((part) => typeof part === "string" && part !== "")
        .join(": "),
    ),
  }));
}

/** An unexpected answer, as an error that keeps what the registry said. */
export class RegistryError extends AirgapError {
  readonly status: number;
  readonly problems: RegistryProblem[];
  /** The registry that was asked, as references write it. */
  readonly host: string;
  /** What was tried: `the manifest 1.27 of docker.io/library/nginx`. */
  readonly what: string;

  constructor(
    code: ErrorCode,
    what: string,
    said: string,
    answer: { host: string; status: number; problems: RegistryProblem[]; suggestions: string[] },
  ) {
    const { host, status, problems, suggestions } = answer;
    const missing = problems.some((problem) => MISSING.has(problem.code));
    super(code, `${what}: ${said}`, {
      suggestions,
      data: { status, problems, ...(missing ? { missing } : {}) },
    });
    this.status = status;
    this.problems = problems;
    this.what = what;
    this.host = host;
  }
}

function suggestionsFor(status: number, host: string, sentTo: string | undefined): string[] {
  if (sentTo !== undefined && (status === 401 || status === 403))
    return [
      `${host} redirects to ${sentTo}, which does not get the login for ${host}: correct the registry's own address (its external URL)`,
    ];
  if (status === 401 || status === 403) return [`docker login ${host}`];
  if (status === 429) return ["run the same command again later, or with --concurrency 1"];
  return [];
}

/**
 * Turns an unexpected answer into an error: `what` names what was tried, e.g.
 * `the manifest 1.27 of docker.io/library/nginx`.
 * @param asked the host that was asked; it may have redirected to another one
 */
export async function failure(
  response: HttpResponse,
  what: string,
  host: string,
  asked = apiHost(host),
): Promise<RegistryError> {
  const problems = await readProblems(response);
  const said = problems
    .map(({ code, message }) => [code, message].filter((part) => part !== "").join(": "))
    .join("; ");
  const { status } = response;
  const code = CODE_OF_STATUS[status] ?? (status >= 500 ? "network" : status >= 400 ? "refused" : "protocol");
  const { host: answering } = new URL(response.url);
  const sentTo = [asked, asked.replace(/:(?:80|443)$/, "")].includes(answering) ? undefined : answering;
  return new RegistryError(
    code,
    what,
    `${answering} answered HTTP ${status}${said === "" ? "" : ` (${said})`}`,
    { host, status, problems, suggestions: suggestionsFor(status, host, sentTo) },
  );
}

/** For messages about an answer that its specification forbids. */
export function protocolError(response: HttpResponse, why: string): AirgapError {
  return new AirgapError("protocol", `${redactUrl(response.url)} ${why}`);
}
