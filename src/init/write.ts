import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AirgapError, messageOf } from "../errors.ts";
import { type Answers, checkAnswers } from "./answers.ts";
import { clusterText } from "./cluster-file.ts";
import { aboutSize } from "./sizes.ts";
import { specText } from "./spec.ts";

export interface InitResult {
  /** Paths of what was written. */
  files: string[];
  spec: string;
  cluster: string;
  /** About how many bytes the bundle will have. */
  aboutBytes: number;
  /** What to type next. */
  next: string[];
}

/**
 * Writes the spec, the cluster file and the schemas that editors check them with.
 * @param schemas JSON Schemas of both files
 * @throws AirgapError `usage` for answers that cannot work, or when a file is already there
 */
export function writeSite(
  folder: string,
  answers: Answers,
  schemas: { bundle: unknown; cluster: unknown },
): InitResult {
  checkAnswers(answers);
  const spec = join(folder, "site.yaml");
  const cluster = join(folder, "cluster.yaml");
  const contents: [string, string][] = [
    [spec, specText(answers, "bundle.schema.json")],
    [cluster, clusterText(answers, "cluster.schema.json")],
    [join(folder, "bundle.schema.json"), `${JSON.stringify(schemas.bundle, undefined, 2)}\n`],
    [join(folder, "cluster.schema.json"), `${JSON.stringify(schemas.cluster, undefined, 2)}\n`],
  ];
  const there = [spec, cluster].filter((path) => existsSync(path));
  if (there.length > 0)
    throw new AirgapError(
      "usage",
      `${there.join(" and ")} ${there.length > 1 ? "are" : "is"} there already`,
      {
        suggestions: ["airgap init ANOTHER-FOLDER", `rm ${there.join(" ")}`],
      },
    );
  try {
    mkdirSync(folder, { recursive: true });
    for (const [path, text] of contents) writeFileSync(path, text);
  } catch (cause) {
    throw new AirgapError("disk", `Cannot write into ${folder}: ${messageOf(cause)}`, { cause });
  }
  const bundle = join(folder, "site.tar");
  return {
    files: contents.map(([path]) => path),
    spec,
    cluster,
    aboutBytes: aboutSize(answers),
    next: [
      `airgap build ${spec} --dry-run`,
      `airgap build ${spec} -o ${bundle}`,
      `airgap check ${cluster} --bundle ${bundle}`,
    ],
  };
}
