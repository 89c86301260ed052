import type { Random } from "./random.ts";
import { escapeXml, type TestRpm } from "./rpm-metadata.ts";

export interface TestGroup {
  id: string;
  name: string;
  packages: { name: string; type?: string; requires?: string; baseArchOnly?: boolean }[];
}

export interface TestEnvironment {
  id: string;
  name: string;
  groups: string[];
  optional?: string[];
}

export function compsXml(groups: TestGroup[], environments: TestEnvironment[] = []): string {
  const list = (name: string, ids: string[]): string =>
    `<${name}>${ids.map((id) => `<groupid>${escapeXml(id)}</groupid>`).join("")}</${name}>`;
  const own = groups.map(({ id, name, packages }) => {
    const members = packages.map(({ name: member, type, requires, baseArchOnly }) => {
      const attributes = [
        type && `type="${type}"`,
        requires && `requires="${escapeXml(requires)}"`,
        baseArchOnly && 'basearchonly="true"',
      ].filter(Boolean);
      return `<packagereq ${attributes.join(" ")}>${escapeXml(member)}</packagereq>`;
    });
    return `<group><id>${id}</id><name>${escapeXml(name)}</name><description>x</description><default>false</default><uservisible>true</uservisible><packagelist>${members.join("")}</packagelist></group>`;
  });
  const all = environments.map(
    ({ id, name, groups: ids, optional = [] }) =>
      `<environment><id>${id}</id><name>${escapeXml(name)}</name><description>x</description>${list("grouplist", ids)}${list("optionlist", optional)}</environment>`,
  );
  return `<?xml version="1.0" encoding="UTF-8"?>\n<comps>\n${[...own, ...all].join("\n")}\n</comps>\n`;
}

export interface GroupCase {
  repositories: { rpms: TestRpm[]; comps: string }[];
  install: string[];
}

/** One or two repositories with groups of all kinds of members, environments of groups, requirements and obsoletes between packages. */
export function randomGroupCase(random: Random): GroupCase {
  const names = Array.from({ length: 10 }, (_, i) => `p${String.fromCharCode(97 + i)}`);
  const groupIds = Array.from({ length: 4 }, (_, i) => `group-${i}`);
  const repositories = Array.from({ length: 1 + random.below(2) }, () => {
    const rpms: TestRpm[] = [];
    for (const name of names) {
      if (random.chance(0.15)) continue;
      rpms.push({
        name,
        evr: `${1 + random.below(3)}-1`,
        arch: random.chance(0.4) ? "noarch" : "x86_64",
        ...(random.chance(0.3) ? { requires: [random.pick(names)] } : {}),
        ...(random.chance(0.15) ? { provides: [random.pick(names)] } : {}),
        ...(random.chance(0.05) ? { obsoletes: [random.pick(names)] } : {}),
      });
    }
    const groups = groupIds
      .filter(() => random.chance(0.8))
      .map(
        (id): TestGroup => ({
          id,
          name: `The ${id}`,
          packages: names
            .filter(() => random.chance(0.3))
            .map((name) => {
              const type = random.pick(["mandatory", "default", "optional", "conditional", ""]);
              return {
                name,
                type,
                ...(type === "conditional" ? { requires: random.pick(names) } : {}),
                baseArchOnly: random.chance(0.1),
              };
            }),
        }),
      );
    const environments = [
      {
        id: "env",
        name: "An environment",
        groups: groupIds.filter(() => random.chance(0.5)),
        optional: groupIds.slice(0, 1),
      },
    ];
    return { rpms, comps: compsXml(groups, environments) };
  });
  const asked = [
    random.pick([
      ...groupIds.map((id) => `@${id}`),
      "@The group-1",
      "@env",
      "@An environment",
      "@*-2",
      "@group-0/optional,mandatory",
    ]),
  ];
  if (random.chance(0.5)) asked.push(random.pick(names));
  if (random.chance(0.3)) asked.push(`@${random.pick(groupIds)}`);
  return { repositories, install: [...new Set(asked)] };
}
