import type { LockedPackage } from "../lock/package-facts.ts";

const MAX_TEXT = 500;

/** Texts of a package about itself that the lock keeps: on one line each, without what is empty. */
export function aboutPackage(
  texts: Record<"license" | "source" | "vendor", string | undefined>,
): Pick<LockedPackage, "license" | "source" | "vendor"> {
  return Object.fromEntries(
    Object.entries(texts).flatMap(([key, text = ""]) => {
      const line = text
        .toWellFormed()
        .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ")
        .slice(0, MAX_TEXT)
        .toWellFormed()
        .trim();
      return line === "" || line === "(none)" ? [] : [[key, line]];
    }),
  );
}
