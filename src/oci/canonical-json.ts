function write(value: unknown, out: (text: string) => void): void {
  if (Array.isArray(value)) {
    out("[");
    for (let i = 0; i < value.length; i++) {
      if (i > 0) out(",");
      write(value[i] ?? null, out);
    }
    out("]");
  } else if (typeof value === "object" && value !== null) {
    const record = value as Record<string, unknown>;
    let separator = "{";
    for (const key of Object.keys(record).sort()) {
      if (record[key] === undefined) continue;
      out(`${separator}${JSON.stringify(key)}:`);
      separator = ",";
      write(record[key], out);
    }
    out(separator === "{" ? "{}" : "}");
  } else out(JSON.stringify(value));
}

/**
 * JSON with keys sorted by code unit, without white space and undefined values: the same value always
 * gives the same bytes. (RFC 8785 for the values we write: no fractional numbers.)
 */
export function canonicalJson(value: unknown): string {
  let text = "";
  write(value, (part) => {
    text += part;
  });
  return text;
}

/** Characters encoded at a time, so that a large value never exists as one string. */
const PART = 1 << 16;

/** The same as UTF-8. */
export function canonicalBytes(value: unknown): Buffer {
  const parts: Buffer[] = [];
  let text = "";
  const flush = (): void => {
    parts.push(Buffer.from(text));
    text = "";
  };
  write(value, (part) => {
    text += part;
    if (text.length >= PART) flush();
  });
  flush();
  return Buffer.concat(parts);
}
