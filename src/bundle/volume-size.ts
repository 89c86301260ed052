import { AirgapError } from "../errors.ts";

/** As dd and split count: `M` and `MiB` are 1024², `MB` is 1000². */
const POWER: Record<string, number> = { "": 0, K: 1, M: 2, G: 3, T: 4 };
const LEAST = 512;

/** The size of volumes: `4480MiB`, `4.7GB`, a number of bytes. Bytes. @throws AirgapError `usage` */
export function parseVolumeSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(iB|B)?$/i.exec(text.trim());
  const [, number, letter = "", ending = ""] = match ?? [];
  const base = letter !== "" && ending.toUpperCase() === "B" ? 1000 : 1024;
  const bytes = Math.floor(Number(number) * base ** (POWER[letter.toUpperCase()] ?? 0));
  if (match && bytes >= LEAST && Number.isSafeInteger(bytes)) return bytes;
  throw new AirgapError("usage", `'${text}' is not a size for volumes; the least is ${LEAST} bytes`, {
    suggestions: ["write it as --volume-size 4480MiB (a DVD), 650MB (a CD) or 3900MiB (below FAT's limit)"],
  });
}
