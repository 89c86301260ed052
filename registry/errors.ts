/**
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes, and
 * UNKNOWN and PAGINATION_NUMBER_INVALID as distribution has them.
 */
export type ApiErrorCode =
  | "BLOB_UNKNOWN"
  | "BLOB_UPLOAD_INVALID"
  | "BLOB_UPLOAD_UNKNOWN"
  | "DIGEST_INVALID"
  | "MANIFEST_BLOB_UNKNOWN"
  | "MANIFEST_INVALID"
  | "MANIFEST_UNKNOWN"
  | "NAME_INVALID"
  | "NAME_UNKNOWN"
  | "SIZE_INVALID"
  | "UNAUTHORIZED"
  | "DENIED"
  | "UNSUPPORTED"
  | "TOOMANYREQUESTS"
  | "PAGINATION_NUMBER_INVALID"
  | "UNKNOWN";

/** An error answer, in the form that the distribution specification gives it. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: ApiErrorCode;
  readonly headers: Record<string, string>;
  readonly detail: unknown;

  constructor(
    status: number,
    code: ApiErrorCode,
    message: string,
    extra: { headers?: Record<string, string>; detail?: unknown } = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = extra.headers ?? {};
    this.detail = extra.detail;
  }

  /** The body that the distribution specification gives errors. */
  body(): string {
    const error = {
      code: this.code,
      message: this.message,
      ...(this.detail === undefined ? {} : { detail: this.detail }),
    };
    return JSON.stringify({ errors: [error] });
  }
}

export const unknownName = (name: string): ApiError =>
  new ApiError(404, "NAME_UNKNOWN", `repository ${name} is not known here`);

export const unknownManifest = (name: string, reference: string): ApiError =>
  new ApiError(404, "MANIFEST_UNKNOWN", `${name} has no manifest ${reference}`, {
    detail: { name, reference },
  });

export const unknownBlob = (name: string, digest: string): ApiError =>
  new ApiError(404, "BLOB_UNKNOWN", `${name} has no blob ${digest}`, { detail: { name, digest } });
