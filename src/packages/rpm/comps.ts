import { AirgapError } from "../../errors.ts";
import { globRegExp } from "../glob.ts";
import type { RpmRepository } from "./repository.ts";
import { readXml } from "./xml.ts";

/** `mandatory`, `default`, `conditional`, `optional`; whatever else stands there is never installed. */
export interface GroupPackage {
  name: string;
  type: string;
  /** Conditional: only where this is installed too. */
  requires?: string;
  /** Only the set's own architecture, not noarch. */
  baseArchOnly: boolean;
}

interface Group {
  id: string;
  name: string;
  packages: Map<string, GroupPackage>;
}

interface Environment {
  id: string;
  name: string;
  groups: Set<string>;
}

/** What dnf installs of a group when nothing else is said (its `group_package_types`). */
const TYPES = ["mandatory", "default", "conditional"];
const KNOWN_TYPES = new Set([...TYPES, "optional"]);
const MAX_ENTRIES = 500_000;

/** The groups and environments of a set's repositories. */
export class Comps {
  readonly #groups = new Map<string, Group>();
  readonly #environments = new Map<string, Environment>();

  static async read(repositories: RpmRepository[]): Promise<Comps> {
    const comps = new Comps();
    for (const repository of repositories) {
      const type = ["group_gz", "group", "group_xz", "group_zst"].find((each) => repository.has(each));
      if (type !== undefined)
        await repository.read(type, (chunks) => comps.#add(chunks, `comps.xml of ${repository.id}`));
    }
    return comps;
  }

  /** Groups of one id are one: later ones add to it, and settle types and names, as libcomps joins them. */
  async #add(chunks: AsyncIterable<Buffer>, what: string): Promise<void> {
    let group: Group | undefined;
    let environment: Environment | undefined;
    let attributes: Record<string, string> = {};
    let list = "";
    let count = 0;
    await readXml(chunks, what, {
      open(name, given, depth) {
        if (depth === 2) {
          group = name === "group" ? { id: "", name: "", packages: new Map() } : undefined;
          environment = name === "environment" ? { id: "", name: "", groups: new Set() } : undefined;
        }
        if (depth === 3) list = name;
        attributes = given;
        if (++count > MAX_ENTRIES)
          throw new AirgapError("corrupt", `${what} has more than ${MAX_ENTRIES} elements`);
      },
      close: (name, raw, depth) => {
        if (depth === 2) this.#keep(group, environment);
        const text = raw.trim();
        const open = group ?? environment;
        if (open === undefined || text === "") return;
        if (depth === 3 && name === "id") open.id = text;
        // Translations have a language.
        else if (depth === 3 && name === "name" && attributes["xml:lang"] === undefined) open.name = text;
        else if (name === "packagereq") group?.packages.set(text, packageOf(text, attributes));
        else if (name === "groupid" && list === "grouplist") environment?.groups.add(text);
      },
    });
  }

  #keep(group: Group | undefined, environment: Environment | undefined): void {
    if (group?.id) {
      const known = this.#groups.get(group.id);
      this.#groups.set(group.id, {
        ...group,
        packages: new Map([...(known?.packages ?? []), ...group.packages]),
      });
    }
    if (environment?.id) {
      const known = this.#environments.get(environment.id);
      this.#environments.set(environment.id, {
        ...environment,
        groups: new Set([...(known?.groups ?? []), ...environment.groups]),
      });
    }
  }

  /**
   * The packages of `id`, of the group or environment called so, or of all that a pattern fits;
   * `id/optional,default` takes other types than usual. An environment is its mandatory groups.
   * @returns undefined when nothing is called so
   * @throws AirgapError `spec`
   */
  packages(text: string): GroupPackage[] | undefined {
    const [pattern = "", types] = text.split("/", 2);
    const wanted = types === undefined ? TYPES : types.split(",");
    const unknown = wanted.find((type) => !KNOWN_TYPES.has(type));
    if (unknown !== undefined)
      throw new AirgapError(
        "spec",
        `@${text}: ${JSON.stringify(unknown)} is neither mandatory, default, conditional nor optional`,
        {
          suggestions: [`"@${pattern}/mandatory,default,optional"`],
        },
      );
    const environments = matching([...this.#environments.values()], pattern);
    const groups = new Set(matching([...this.#groups.values()], pattern));
    for (const { groups: ids } of environments) {
      for (const id of ids) {
        const group = this.#groups.get(id);
        if (group) groups.add(group);
      }
    }
    if (groups.size === 0 && environments.length === 0) return undefined;
    return [...groups].flatMap(({ packages }) =>
      [...packages.values()].filter(({ type }) => wanted.includes(type)),
    );
  }

  /** Ids of all groups and environments, with what they are called. */
  names(): { id: string; name: string }[] {
    return [...this.#groups.values(), ...this.#environments.values()].map(({ id, name }) => ({ id, name }));
  }
}

function packageOf(name: string, attributes: Record<string, string>): GroupPackage {
  const { type = "mandatory", requires } = attributes;
  return {
    name,
    type,
    ...(type === "conditional" && requires ? { requires } : {}),
    baseArchOnly: attributes.basearchonly === "true",
  };
}

/** Id or name as they are, else as a pattern in any case. */
function matching<T extends { id: string; name: string }>(all: T[], pattern: string): T[] {
  const exact = all.filter(({ id, name }) => id === pattern || name === pattern);
  if (exact.length > 0) return exact;
  const expression = globRegExp(pattern.toLowerCase());
  return all.filter(
    ({ id, name }) => expression.test(id.toLowerCase()) || expression.test(name.toLowerCase()),
  );
}
