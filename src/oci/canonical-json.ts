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
 * JSON with keys sorted by code unit, no white space, undefined left out: the same value always
 * gives the same bytes. (RFC 8785 for the values we write: no fractional numbers.)
 */
export function canonicalJson(value: unknown): string {
  let text = "";
  write(value, (part) => {
    text += part;
  });
  return text;
}

/** Characters that are encoded at a time: few enough that what is large is never there as one text. */
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
