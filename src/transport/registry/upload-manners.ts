/** How blobs are sent, the cheapest way first: one PUT; PATCH by pieces and a PUT; one PATCH and a PUT. */
export type Way = "put" | "pieces" | "patch";

/** What a registry was found to take. */
export interface UploadManners {
  /** Ways that it gave no sense to, and the size of blob from which on. Bytes. */
  failing: Partial<Record<Way, number>>;
  /** Size of a piece. Bytes. */
  piece: number;
}

export const newManners = (): UploadManners => ({ failing: {}, piece: 32 * 1024 * 1024 });
