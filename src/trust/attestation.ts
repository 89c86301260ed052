import type { PublicKey, Signer } from "./key.ts";
import { verifies } from "./key.ts";
import { at, decoded, encodeBundle, openBundle } from "./sigstore-bundle.ts";

/** https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md; cosign also wrote v0.1. */
const STATEMENT = "https://in-toto.io/Statement/v1";
const STATEMENTS: unknown[] = [STATEMENT, "https://in-toto.io/Statement/v0.1"];
const PAYLOAD_TYPE = "application/vnd.in-toto+json";

/** What an in-toto statement is about: its digest, by algorithm, in hexadecimal digits. */
export interface Subject {
  name?: string;
  algorithm: string;
  hex: string;
}

/** A statement about content, with its signatures. Nothing of it is proven. */
export interface Attestation {
  /** base64 of the SHA-256 of the key's SPKI; absent when the signer did not say it. */
  hint: string | undefined;
  predicateType: string;
  predicate: unknown;
  subjects: Subject[];
  /** The signed bytes. */
  signed: Buffer;
  signatures: Buffer[];
}

/** DSSE's pre-authentication encoding. https://github.com/secure-systems-lab/dsse/blob/master/protocol.md */
function preAuthenticated(type: string, payload: Buffer): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(type)} ${type} ${payload.length} `;
  return Buffer.concat([Buffer.from(head), payload]);
}

/** Signs a statement about content: a Sigstore bundle with a DSSE envelope, as cosign writes it. */
export function signStatement(
  signer: Signer,
  { name, algorithm, hex }: Subject,
  predicateType: string,
  predicate: unknown,
): string {
  const subject = [{ ...(name === undefined ? {} : { name }), digest: { [algorithm]: hex } }];
  const payload = Buffer.from(JSON.stringify({ _type: STATEMENT, subject, predicateType, predicate }));
  const sig = signer.sign(preAuthenticated(PAYLOAD_TYPE, payload)).toString("base64");
  return encodeBundle(signer.publicKey, {
    dsseEnvelope: { payload: payload.toString("base64"), payloadType: PAYLOAD_TYPE, signatures: [{ sig }] },
  });
}

/**
 * @param what names it in messages
 * @throws AirgapError `check-failed` when it is not a Sigstore bundle with an in-toto statement
 */
export function parseAttestation(bytes: Uint8Array, what: string): Attestation {
  const { value, hint, bad } = openBundle(bytes, what);
  const payload = decoded(at(value, "dsseEnvelope", "payload"));
  const type = at(value, "dsseEnvelope", "payloadType");
  if (payload === undefined || type !== PAYLOAD_TYPE) return bad("it does not hold an in-toto statement");
  const given = at(value, "dsseEnvelope", "signatures");
  const signatures = (Array.isArray(given) ? given : []).flatMap((each) => decoded(at(each, "sig")) ?? []);
  if (signatures.length === 0) return bad("it holds no signature");
  let statement: unknown;
  try {
    statement = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch {
    return bad("its statement is not JSON");
  }
  if (!STATEMENTS.includes(at(statement, "_type"))) return bad("its statement is not in-toto's");
  const predicateType = at(statement, "predicateType");
  if (typeof predicateType !== "string") return bad("its statement does not say what it is about");
  const listed = at(statement, "subject");
  return {
    hint,
    predicateType,
    predicate: at(statement, "predicate"),
    subjects: (Array.isArray(listed) ? listed : []).flatMap(subjectsOf),
    signed: preAuthenticated(PAYLOAD_TYPE, payload),
    signatures,
  };
}

function subjectsOf(entry: unknown): Subject[] {
  const digests = at(entry, "digest");
  if (typeof digests !== "object" || digests === null) return [];
  const name = at(entry, "name");
  return Object.entries(digests).flatMap(([algorithm, hex]) =>
    typeof hex === "string" ? [{ ...(typeof name === "string" ? { name } : {}), algorithm, hex }] : [],
  );
}

/** Whether a key signed this statement. */
export const isStatedBy = (key: PublicKey, { signed, signatures }: Attestation): boolean =>
  signatures.some((signature) => verifies(key, signed, signature));
