/** Ways to send a blob, the cheapest first: one PUT; PATCH in pieces and a PUT; one PATCH and a PUT. */
export type Way = "put" | "pieces" | "patch";

/** How to upload to a registry, as earlier uploads have shown. */
export interface UploadPreferences {
  /** Ways that failed, each with the smallest size that failed. Bytes. */
  failing: Partial<Record<Way, number>>;
  /** Size of a piece. Bytes. */
  piece: number;
}

export const newPreferences = (): UploadPreferences => ({ failing: {}, piece: 32 * 1024 * 1024 });
