import { isNull, isTyped, type Node, type Scalar, spanOf } from "../documents/node.ts";
import { parseStream } from "../documents/parse.ts";
import { type Span, Text } from "../documents/text.ts";
import type { Stretches } from "./join.ts";
import { type Judged, judge } from "./judge.ts";
import { scanText } from "./scan.ts";
import { decode, looksLikeDocument, substituted } from "./shapes.ts";
import { canonical, type Sighting, type Spot, type Unread } from "./sighting.ts";

/** Deepest nesting of texts inside texts. */
const MAX_EMBEDDED = 4;

/** Reads single strings: an image, a text with images in it, or a document, which is walked too. */
export class ScalarReader {
  readonly found: Sighting[] = [];
  readonly unread: Unread[] = [];
  readonly #walk: (node: Node, spot: Spot) => void;

  /** @param walk called for the documents inside strings */
  constructor(walk: (node: Node, spot: Spot) => void) {
    this.#walk = walk;
  }

  /** A container's image, which is an image whatever it looks like. */
  container(scalar: Scalar, spot: Spot): void {
    const written = scalar.value.trim();
    if (written === "" || isNull(scalar) || written === "auto") return;
    if (isTyped(scalar)) this.unreadable(scalar, spot, "is a number or a boolean, which Kubernetes refuses");
    else if (!this.whole(scalar, { ...spot, evidence: "schema" })) this.unreadable(scalar, spot);
  }

  /** A placeholder inside another text is filled in by a program, so it is not reported. */
  unreadable(node: Node, spot: Spot, why = "is not an image"): void {
    if (spot.embedded > 0) return;
    const { span } = node;
    const written =
      node.kind === "scalar" ? node.value.trim() : (span?.in.text.slice(span.start, span.end).trim() ?? "");
    this.unread.push({
      written: written.length > 200 ? `${written.slice(0, 200)}…` : written,
      why,
      path: spot.path,
      ...(spot.label ? { object: spot.label } : {}),
      ...(span ? { span } : {}),
    });
  }

  /** An image name that a running cluster reports. */
  reported(scalar: Scalar, spot: Spot): void {
    const judged = judge(scalar.value, "schema");
    const span = spanOf(scalar);
    if (judged)
      this.add(
        { ...judged, confidence: "likely" },
        scalar.value,
        spot,
        scalar,
        span && { names: [span], whole: true },
      );
  }

  /** @param runs the value is where a running object names its image: a tag may be left out */
  read(given: Scalar, spot: Spot, runs = false): void {
    if (given.value.length < 3 || isNull(given) || isTyped(given)) return;
    const scalar = substituted(given, spot.variables);
    if (spot.encoded) this.#decoded(scalar, spot);
    else if (this.#embedded(scalar, spot) || this.whole(scalar, spot, runs)) return;
    else this.#text(scalar, spot);
  }

  /** The whole string is the image. */
  whole(scalar: Scalar, spot: Spot, runs = false): boolean {
    const written = scalar.value.trim();
    const judged = written === "auto" ? undefined : judge(written, spot.evidence, spot.name);
    if (judged === undefined || (spot.evidence === "prose" && /\s/.test(written))) return false;
    const confidence =
      runs && judged.confidence === "possible" && spot.evidence === "named" && !judged.artifact
        ? "likely"
        : judged.confidence;
    const scheme = /^(?:docker|oci):\/\//.exec(written)?.[0].length ?? 0;
    const start = scalar.value.indexOf(written) + scheme;
    const span = spanOf(scalar, start, start + written.length - scheme);
    this.add(
      { ...judged, confidence },
      written.slice(scheme),
      spot,
      scalar,
      span && { names: [span], whole: true },
    );
    return true;
  }

  /** The string has images among other words. */
  #text(scalar: Scalar, spot: Spot): void {
    for (const hit of scanText(scalar.value, spot.evidence)) {
      const span = spanOf(scalar, hit.start, hit.end);
      const how = spot.how === "field" ? "text" : spot.how;
      this.add(
        hit,
        scalar.value.slice(hit.start, hit.end),
        { ...spot, how, path: hit.by ? `${spot.path}{${hit.by}}` : spot.path },
        scalar,
        span && { names: [span], whole: true },
        span,
      );
    }
  }

  /** The string is a document. */
  #embedded(scalar: Scalar, spot: Spot): boolean {
    const { value } = scalar;
    if (spot.embedded >= MAX_EMBEDDED || !looksLikeDocument(value)) return false;
    const text =
      scalar.span === undefined
        ? new Text("", value)
        : new Text(scalar.span.in.file, value, { span: scalar.span, value });
    let roots: Node[];
    try {
      roots = [...parseStream(text)].map(({ root }) => root);
    } catch {
      return false;
    }
    if (roots.length === 0 || roots.some((root) => root.kind === "scalar")) return false;
    for (const root of roots)
      this.#walk(root, {
        ...spot,
        how: spot.how === "annotation" ? "annotation" : "text",
        path: `${spot.path}:`,
        embedded: spot.embedded + 1,
        evidence: spot.evidence === "named" ? "near" : spot.evidence,
      });
    return true;
  }

  #decoded(scalar: Scalar, spot: Spot): void {
    const value = decode(scalar.value);
    if (value === undefined) return;
    const text =
      scalar.span === undefined
        ? new Text("", value)
        : new Text(scalar.span.in.file, value, {
            span: scalar.span,
            value: scalar.value,
            encoding: "base64",
          });
    this.read(
      { kind: "scalar", value, plain: false, span: { in: text, start: 0, end: value.length } },
      { ...spot, encoded: false },
    );
  }

  add(
    judged: Judged,
    written: string,
    spot: Spot,
    scalar: Scalar,
    stretches: Stretches | undefined,
    span: Span | undefined = scalar.span,
  ): void {
    this.found.push({
      reference: canonical(judged.reference),
      written,
      confidence: judged.confidence,
      how: spot.how,
      ...(spot.label ? { object: spot.label } : {}),
      path: spot.path,
      ...(span ? { span } : {}),
      ...(stretches ? { stretches } : {}),
      ...(judged.artifact ? { artifact: true } : {}),
      ...(spot.behind ? { behind: spot.behind } : {}),
    });
  }
}
