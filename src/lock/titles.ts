import { posix } from "node:path";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Index, Manifest } from "../oci/manifest.ts";
import type { Item } from "./lock.ts";
import { titleProblem, titlesProblems } from "./names.ts";
import { corrupt } from "./shape.ts";

/** The annotation of a layer that says which file it is. */
export const TITLE = "org.opencontainers.image.title";

type NamedItem = Pick<Item, "kind" | "name">;

/** A file of an artifact, as its manifest has it. */
export interface TitledLayer {
  /** A safe relative path. */
  title: string;
  layer: Descriptor;
}

/** The layers of an artifact that are files, whatever their titles are. */
function titled(manifest: Manifest | Index): TitledLayer[] {
  return manifest.kind === "index"
    ? []
    : manifest.layers.flatMap((layer) => {
        const title = layer.annotations?.[TITLE];
        return title === undefined ? [] : [{ title, layer }];
      });
}

/** Every fault in the names of an item's files; an image has none. */
export function titlesProblemsOf({ kind, name }: NamedItem, manifest: Manifest | Index): string[] {
  if (kind === "image") return [];
  const titles = titled(manifest).map(({ title }) => title);
  const problems = titlesProblems(titles);
  // Readers ask for it by its item's name.
  const alone = (kind !== "file" && kind !== "self") || (titles.length === 1 && titles[0] === name);
  return alone ? problems : [...problems, "it does not hold exactly one file with its own name"];
}

/**
 * The files of an item, each by a safe path below its root.
 * @param where for messages: the bundle
 * @throws AirgapError `corrupt` when a name leads out of its folder, or two names collide
 */
export function filesOf(item: NamedItem, manifest: Manifest | Index, where: string): TitledLayer[] {
  const [problem] = titlesProblemsOf(item, manifest);
  if (problem !== undefined) throw corrupt(`${item.kind} ${item.name} of ${where}: ${problem}`);
  return titled(manifest);
}

/** @throws AirgapError `corrupt` for a name that leads out of its folder */
export function checkedTitle(title: string): string {
  const problem = titleProblem(title);
  if (problem === undefined) return title;
  throw corrupt(`The file name ${JSON.stringify(title.slice(0, 200))} ${problem}`);
}

/**
 * A path below a folder, computed from the name alone: on a host, or in a folder that does not exist yet.
 * @throws AirgapError `corrupt` for a name that leads out of it
 */
export const pathBelow = (folder: string, title: string): string => posix.join(folder, checkedTitle(title));
