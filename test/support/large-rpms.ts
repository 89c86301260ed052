import type { Random } from "./random.ts";
import type { TestRpm } from "./rpm-metadata.ts";

/**
 * A repository like a distribution's: libraries with sonames and i686 twins, several releases a
 * name, rich dependencies, groups of packages that need each other. `everything` requires one
 * package of each name, so that its closure is as large as the repository allows.
 */
export function largeRpms(random: Random, names: number): TestRpm[] {
  const rpms: TestRpm[] = [];
  const count = Math.floor(names * 0.9);
  const soname = (i: number): string => `lib${i}.so.1()(64bit)`;
  for (let i = 0; i < count; i++) {
    const releases = 1 + (i % 7 === 0 ? random.below(3) : 0);
    for (let release = 1; release <= releases; release++) {
      const requires = Array.from({ length: random.below(6) }, () => soname(random.below(Math.max(1, i)))).filter((name) => name !== soname(i));
      if (i % 50 === 1) requires.push(`(pkg${random.below(i)} if pkg${random.below(i)})`);
      if (i % 40 === 1) requires.push(`(pkg${random.below(i)} or pkg${random.below(i)})`);
      if (i > 10) requires.push(`pkg${random.below(i)} >= 1.0`);
      if (i % 9 === 0) requires.push(`/usr/bin/tool${random.below(Math.max(1, i))}`);
      const name = `pkg${i}`;
      rpms.push({
        name,
        evr: `1.${i % 10}-${release}.el9`,
        arch: "x86_64",
        requires: [...new Set(requires), "rtld(GNU_HASH)"],
        provides: [soname(i), `${name}(x86-64) = 1.${i % 10}-${release}.el9`, `config(${name}) = 1.${i % 10}-${release}.el9`],
        files: [`/usr/bin/tool${i}`, `/usr/lib64/lib${i}.so.1`, `/usr/share/doc/${name}/README`],
        ...(i % 60 === 0 && i > 0 ? { obsoletes: [`old${i} < 1.0`], conflicts: [`nothing${i}`] } : {}),
      });
      if (i % 5 === 0) rpms.push({ name, evr: `1.${i % 10}-${release}.el9`, arch: "i686", provides: [`lib${i}.so.1`], requires: [] });
    }
  }
  rpms.push({ name: "glibc", evr: "2.34-1.el9", arch: "x86_64", provides: ["rtld(GNU_HASH)", "libc.so.6()(64bit)"] });
  rpms.push({ name: "everything", evr: "1-1", arch: "noarch", requires: Array.from({ length: count }, (_, i) => `pkg${i}`) });
  return rpms;
}
