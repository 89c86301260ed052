import { formatReference, nameOf, parseReference } from "../../oci/reference.ts";
import { get, itemsOf, type Mapping, mapping, type Node, type Scalar, stringAt } from "../documents/node.ts";
import { parseOne } from "../documents/parse.ts";
import { Text } from "../documents/text.ts";
import { inherit } from "../images/join.ts";
import { pairsOf } from "../images/shapes.ts";
import type { Sighting } from "../images/sighting.ts";
import { walkDocument } from "../images/walk.ts";
import { type Chart, parseFile } from "./chart.ts";
import { isEnabled } from "./dependencies.ts";
import { missingDependencies } from "./load.ts";
import { asMapping, isTrue, mergeValues } from "./values.ts";

/**
 * The images that a chart's values name, sub-charts included: everything that is known without
 * rendering, and with a rendering the images that it does not use. A missing tag is the chart's
 * `appVersion`.
 * @param given the user's values over the chart's own
 */
export function imagesInValues(chart: Chart, given: Mapping, what = chart.name): Sighting[] {
  return inChart(chart, given, what, undefined);
}

function inChart(
  chart: Chart,
  given: Mapping,
  what: string,
  behind: string | undefined,
  inner = false,
): Sighting[] {
  const values = mergeValues(parseFile(chart.tree, "values.yaml", what), given);
  const own = new Set(chart.dependencies.map(({ alias, name }) => alias ?? name));
  const version = chart.appVersion ? { defaultTag: chart.appVersion } : {};
  // Global values come from the chart above, which has searched them already.
  const global = inner ? asMapping(get(values, "global")) : mapping([]);
  const inherited = inherit(version, pairsOf(global, undefined));
  const root = mapping(values.entries.filter(({ key }) => !own.has(key) && !(inner && key === "global")));
  const annotations = asMapping(get(chart.root, "annotations"));
  const sightings = [
    ...walkDocument(root, { inherited, values: true }),
    ...inAnnotations(annotations, values),
  ];
  const mine = behind === undefined ? sightings : sightings.map((sighting) => ({ ...sighting, behind }));
  const absent = missingDependencies(chart).flatMap(({ alias, name }) =>
    walkDocument(mapping([{ key: alias ?? name, value: asMapping(get(values, alias ?? name)) }]), {
      values: true,
    }),
  );
  return [
    ...mine,
    ...absent.map((sighting) => ({ ...sighting, behind: behind ?? "a sub-chart that is missing" })),
    ...[...chart.charts.values()].flatMap((sub) => inSubchart(chart, sub, values, what, behind)),
  ];
}

/**
 * The images that a chart's publisher names besides its values, for operators that pull at run time; entries of
 * `helm.sh/images` may have a condition. https://artifacthub.io/docs/topics/annotations/helm/
 */
function inAnnotations(annotations: Mapping, values: Mapping): Sighting[] {
  return annotations.entries.flatMap(({ key, value }) => {
    const text = value.kind === "scalar" && /(?:^|\/)images$/.test(key) ? value : undefined;
    const entries = text && parsedList(text);
    if (entries === undefined) return [];
    return entries.flatMap((entry, i) => {
      const condition = stringAt(entry, "condition");
      const on = condition === undefined || isTrue(get(values, ...condition.split(".")));
      return walkDocument(mapping([{ key: "image", value: get(entry, "image") ?? mapping([]) }])).map(
        (sighting) => ({
          ...sighting,
          how: "annotation" as const,
          path: `annotations.${JSON.stringify(key)}[${i}].image`,
          ...(on ? {} : { behind: condition as string }),
        }),
      );
    });
  });
}

function parsedList(text: Scalar): Node[] | undefined {
  try {
    const embedded =
      text.span && new Text(text.span.in.file, text.value, { span: text.span, value: text.value });
    return itemsOf(parseOne(embedded ?? new Text("", text.value)));
  } catch {
    return undefined;
  }
}

function inSubchart(
  chart: Chart,
  sub: Chart,
  values: Mapping,
  what: string,
  behind: string | undefined,
): Sighting[] {
  const asked = chart.dependencies.filter(({ name }) => name === sub.name);
  const uses = asked.length > 0 ? asked : [{ name: sub.name, version: "", repository: "" }];
  return uses.flatMap((dependency) => {
    const key = dependency.alias ?? dependency.name;
    const global = get(values, "global");
    const given = mergeValues(
      get(values, key),
      global
        ? mapping([{ key: "global", value: mergeValues(get(values, key, "global"), global) }])
        : undefined,
    );
    const off = behind ?? (isEnabled(dependency, values) ? undefined : (dependency.condition ?? key));
    return inChart(sub, given, `${what}/charts/${stringAt(sub.root, "name") ?? key}`, off, true);
  });
}

const repositoryOf = (reference: string): string => parseReference(reference).repository;

const familyOf = (reference: string): string => {
  const { host, repository } = parseReference(reference);
  return `${host}/${repository.slice(0, repository.lastIndexOf("/") + 1)}`;
};

/**
 * How the chart's templates make a tag from `appVersion`, judged by how its rendering shows images of
 * the same publisher; undefined when it shows none.
 */
function prefixFor(
  reference: string,
  rendered: Sighting[],
  appVersion: string | undefined,
): string | undefined {
  if (appVersion === undefined) return undefined;
  const tags = new Set(
    rendered
      .filter((each) => familyOf(each.reference) === familyOf(reference))
      .map((each) => parseReference(each.reference).tag),
  );
  return tags.has(appVersion) ? "" : tags.has(`v${appVersion}`) ? "v" : undefined;
}

/**
 * Images that the values name and the rendering does not use: a switch turns them off. An image whose
 * name the templates extend (`operator` to `operator-generic`) is not one of them, and one
 * without a tag anywhere is only possible.
 * @param whole whether every template was rendered; otherwise a missing image may not be switched off
 */
export function unusedImages(
  named: Sighting[],
  rendered: Sighting[],
  chart: Chart,
  whole: boolean,
): Sighting[] {
  const names = new Set(rendered.map(({ reference }) => nameOf(parseReference(reference))));
  const repositories = [...new Set(rendered.map(({ reference }) => repositoryOf(reference)))];
  return named.flatMap((sighting) => {
    const reference = parseReference(sighting.reference);
    const { repository } = reference;
    const used =
      names.has(nameOf(reference)) ||
      repositories.some(
        (known) =>
          known === repository ||
          known.startsWith(`${repository}-`) ||
          known.startsWith(`${repository.replace(/^library\//, "")}/`) ||
          known.endsWith(`/${repository.replace(/^library\//, "")}`),
      );
    if (used) return [];
    if (sighting.how === "annotation") return [sighting];
    const behind = sighting.behind ?? (whole ? "nothing in the rendering" : undefined);
    if (behind === undefined) return [sighting];
    if (!sighting.guessed)
      return [
        {
          ...sighting,
          behind,
          confidence: isPinned(sighting.written) ? sighting.confidence : ("possible" as const),
        },
      ];
    const prefix = prefixFor(sighting.reference, rendered, chart.appVersion);
    const tagged = formatReference({ ...reference, tag: `${prefix ?? ""}${reference.tag ?? "latest"}` });
    return [
      {
        ...sighting,
        reference: tagged,
        behind,
        confidence: prefix === undefined ? ("possible" as const) : sighting.confidence,
      },
    ];
  });
}

const isPinned = (written: string): boolean => /@|:[^/]+$/.test(written);
