import { execFileSync } from "node:child_process";
import { dirname } from "node:path";
import { describe, expect, it } from "vitest";
import { AIRGAP } from "../support/cli.ts";
import { Scratch } from "../support/scratch.ts";

const env = { ...process.env, PATH: `${dirname(AIRGAP)}:${process.env["PATH"]}`, TERM: "dumb" };
const output = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { encoding: "utf8", env, timeout: 60_000 });

/** A line as it is typed, and what stands there after the tab. */
const TYPED: [typed: string, becomes: string][] = [
  ["airgap ver", "airgap verify"],
  ["airgap images l", "airgap images list"],
  ["airgap completion f", "airgap completion fish"],
  ["airgap build --lock-o", "airgap build --lock-only"],
  ["airgap list --format c", "airgap list --format csv"],
  ["airgap install --only net", "airgap install --only network"],
];

describe("completion in real shells", () => {
  it.each(TYPED)("bash: '%s'", (typed, becomes) => {
    const words = typed.split(" ");
    const ask = `. <(airgap completion bash); COMP_WORDS=(${typed}); COMP_CWORD=${words.length - 1}; _airgap; echo "\${COMPREPLY[*]}"`;
    expect(output("bash", "-c", ask).trim()).toBe(becomes.split(" ").at(-1));
  });

  it.each(TYPED)("zsh: '%s', by the script, and by the file that packages have", (typed, becomes) => {
    using scratch = new Scratch();
    const script = output(AIRGAP, "completion", "bash");
    scratch.write(
      "_airgap",
      `#compdef airgap\nautoload -U +X bashcompinit && bashcompinit\n${script}\n_bash_complete -o filenames -F _airgap\n`,
    );
    for (const setting of [
      'eval "$(airgap completion zsh)"',
      `fpath=(${scratch.dir} $fpath); autoload -U compinit; compinit -u -D`,
    ]) {
      // A terminal of its own: zsh completes only while somebody types.
      const drive = `zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z ${JSON.stringify(setting).replaceAll("$", "\\$")}
zpty -w z 'echo rea""dy'
zpty -r z seen '*ready*'
zpty -w -n z $'${typed}\\t'
zpty -r z seen '*${becomes}*'
print -r -- found
zpty -d z`;
      expect(output("timeout", "30", "zsh", "-f", "-c", drive)).toContain("found");
    }
  });

  it.each(TYPED)("fish: '%s'", (typed, becomes) => {
    const ask = `airgap completion fish | source; complete -C ${JSON.stringify(typed)}`;
    const offered = output("fish", "-N", "-c", ask)
      .trim()
      .split("\n")
      .map((line) => line.split("\t")[0]);
    expect(offered).toEqual([becomes.split(" ").at(-1)]);
  });

  it("fish: a command of a topic is not the command of the same name", () => {
    const offered = output(
      "fish",
      "-N",
      "-c",
      "airgap completion fish | source; complete -C 'airgap images list --wh'",
    );
    expect(offered).not.toContain("--why");
    expect(
      output("fish", "-N", "-c", "airgap completion fish | source; complete -C 'airgap list --wh'"),
    ).toContain("--why");
  });
});
