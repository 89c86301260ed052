/** What is counted of an answer: a line of the access log has it. */
export interface Answered {
  method: string;
  status: number;
  /** Of the answer's body. */
  bytes: number;
  ms: number;
  error?: string;
}

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]);

/** Why an answer is an error, in few words that never grow in number. */
function kindOf({ status, error }: Answered): string | undefined {
  if (status === 499) return "client-gone";
  if (status < 400) return error === undefined ? undefined : "broken-off";
  switch (status) {
    case 401:
      return "unauthorized";
    case 403:
      return "denied";
    case 404:
      return "not-found";
    case 429:
      return "too-many";
    case 507:
      return "disk-full";
    default:
      return status >= 500 ? "server" : "request";
  }
}

/**
 * Counts what is answered, for Prometheus. Labels are fixed words: no name of a user, an image or a client is
 * among them, so that whoever may scrape learns none.
 */
export class Metrics {
  readonly #started = Date.now();
  readonly #requests = new Map<string, number>();
  readonly #errors = new Map<string, number>();
  #bytes = 0;
  #milliseconds = 0;
  #count = 0;
  #running = 0;

  begin(): void {
    this.#running++;
  }

  end(entry: Answered): void {
    this.#running--;
    this.#count++;
    this.#bytes += entry.bytes;
    this.#milliseconds += entry.ms;
    const method = METHODS.has(entry.method) ? entry.method : "other";
    add(this.#requests, `method="${method}",code="${entry.status}"`);
    const kind = kindOf(entry);
    if (kind !== undefined) add(this.#errors, `kind="${kind}"`);
  }

  /**
   * The text format 0.0.4. https://prometheus.io/docs/instrumenting/exposition_formats/
   * @param healthy what `/healthz` says
   */
  text(healthy: boolean): string {
    const lines: string[] = [];
    const metric = (name: string, type: string, help: string, values: Iterable<[string, number]>): void => {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
      for (const [labels, value] of values) lines.push(`${name}${labels && `{${labels}}`} ${value}`);
    };
    const one = (value: number): [string, number][] => [["", value]];
    metric("airgap_serve_healthy", "gauge", "Whether /healthz answers 200.", one(healthy ? 1 : 0));
    metric("airgap_serve_requests_total", "counter", "Answered requests.", sorted(this.#requests));
    metric("airgap_serve_errors_total", "counter", "Answers that are errors, by kind.", sorted(this.#errors));
    metric("airgap_serve_response_bytes_total", "counter", "Bytes of answers' bodies.", one(this.#bytes));
    const seconds = "airgap_serve_request_duration_seconds";
    lines.push(
      `# HELP ${seconds} From a request's header to the end of its answer.`,
      `# TYPE ${seconds} summary`,
    );
    lines.push(`${seconds}_sum ${this.#milliseconds / 1000}`, `${seconds}_count ${this.#count}`);
    metric(
      "airgap_serve_requests_running",
      "gauge",
      "Requests without a whole answer yet.",
      one(this.#running),
    );
    metric("process_start_time_seconds", "gauge", "Start, as a Unix time.", one(this.#started / 1000));
    metric("process_resident_memory_bytes", "gauge", "Resident memory.", residentMemory());
    return `${lines.join("\n")}\n`;
  }
}

const add = (counts: Map<string, number>, key: string): void =>
  void counts.set(key, (counts.get(key) ?? 0) + 1);

const sorted = (counts: Map<string, number>): [string, number][] =>
  [...counts].sort(([a], [b]) => (a < b ? -1 : 1));

/** Node asks /proc, which a bare chroot lacks. */
function residentMemory(): [string, number][] {
  try {
    return [["", process.memoryUsage.rss()]];
  } catch {
    return [];
  }
}
