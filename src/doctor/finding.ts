/** What `airgap doctor` says about one thing. */
export interface DoctorFinding {
  /** `helm`, `disk` … */
  name: string;
  /** `missing` switches something off; `warning` may become a problem. */
  state: "ok" | "missing" | "warning";
  /** What is there, or what is wrong with it. Never a secret. */
  found: string;
  /** What does not work because of it. */
  without?: string;
  /** What to do about it. */
  remedy?: string;
}

/** Looks at one thing. */
export type Look = () => Promise<DoctorFinding>;

/** The first line of the message of anything thrown. */
export const firstLine = (text: string): string => text.trim().split("\n")[0] ?? "";
