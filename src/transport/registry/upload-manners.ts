/** How blobs are sent, the cheapest way first: one PUT; PATCH by pieces and a PUT; one PATCH and a PUT. */
export type Way = "put" | "pieces" | "patch";

/** What a registry was found to accept. */
export interface UploadManners {
  /** Ways that do not work, each with the blob size from which it fails. Bytes. */
  failing: Partial<Record<Way, number>>;
  /** Size of a piece. Bytes. */
  piece: number;
}

export const newManners = (): UploadManners => ({ failing: {}, piece: 32 * 1024 * 1024 });
