import { dirname, resolve } from "node:path";
import { Args, Flags } from "@oclif/core";
import { takeLogins } from "../../bundle/spec-logins.ts";
import { BaseCommand, withEnv } from "../../command.ts";
import { AirgapError } from "../../errors.ts";
import { HttpClients } from "../../http.ts";
import { readBundleSpec } from "../../lock/spec.ts";
import { chainsTo, type ResolvedPackageSet, summarise } from "../../packages/report.ts";
import { resolveClosures } from "../../resolve/packages.ts";
import { nearest } from "../../schema/nearest.ts";
import { defaultCacheDir } from "../../state/cache.ts";

export default class PackagesResolve extends BaseCommand<{ sets: ResolvedPackageSet[] }> {
  static override summary = "Work out the OS packages that a spec needs, from repository metadata alone";
  static override description =
    "Prints every package of every role once, as name-[epoch:]version-release.arch or name=version. Fetches only metadata, and needs no package manager.";
  static override examples = [
    "<%= config.bin %> packages resolve site.yaml",
    "<%= config.bin %> packages resolve site.yaml --set el9 --why libnetfilter_conntrack",
  ];
  static override args = { spec: Args.string({ description: "The bundle spec (YAML)", required: true }) };
  static override flags = withEnv({
    set: Flags.string({ description: "Only the package set of this name", helpValue: "NAME" }),
    why: Flags.string({
      description: "Print what needs this package, back to the spec's request",
      helpValue: "PACKAGE",
    }),
  });

  async run(): Promise<{ sets: ResolvedPackageSet[] }> {
    const { args, flags } = await this.parse(PackagesResolve);
    const { spec, logins } = takeLogins(await readBundleSpec(args.spec));
    const wanted = spec.packages.filter(({ name }) => flags.set === undefined || name === flags.set);
    if (wanted.length === 0)
      throw this.#nothing(
        args.spec,
        flags.set,
        spec.packages.map(({ name }) => name),
      );
    const clients = new HttpClients({ emit: this.emit, logins: logins.header });
    const context = {
      baseDir: dirname(resolve(args.spec)),
      cacheDir: defaultCacheDir(),
      http: clients.for.bind(clients),
      emit: this.emit,
      signal: this.signal,
    };
    try {
      const sets: ResolvedPackageSet[] = [];
      for (const set of wanted) sets.push(summarise(set.name, await resolveClosures(set, context)));
      if (flags.why === undefined) for (const id of allOf(sets)) this.report.line(id);
      else this.#why(sets, flags.why);
      return { sets };
    } finally {
      await clients.close();
    }
  }

  #why(sets: ResolvedPackageSet[], asked: string): void {
    const chains = sets.flatMap((set) => chainsTo(set, asked));
    if (chains.length === 0)
      throw new AirgapError("not-found", `${asked} is not in any package set of the spec`, {
        suggestions: ["airgap packages resolve SPEC  # lists every package"],
      });
    for (const line of chains) this.report.line(line);
  }

  #nothing(file: string, set: string | undefined, names: string[]): AirgapError {
    if (set === undefined)
      return new AirgapError("usage", `${file} has no packages`, {
        suggestions: ["packages: [{ name: el9, format: rpm, … }]  # see docs/packages.md"],
      });
    const meant = nearest(set, names);
    return new AirgapError(
      "usage",
      `${file} has no package set ${set}; it has ${names.join(", ") || "none"}`,
      {
        suggestions: meant === undefined ? [] : [`airgap packages resolve ${file} --set ${meant}`],
      },
    );
  }
}

const allOf = (sets: ResolvedPackageSet[]): string[] =>
  [...new Set(sets.flatMap(({ packages }) => packages.map(({ id }) => id)))].sort();
