import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BuildOptions, type BuildResult, build } from "../../src/bundle/build.ts";
import type { Event } from "../../src/events.ts";

/** A folder of its own for a test, gone afterwards. */
export class Scratch implements Disposable {
  readonly dir = mkdtempSync(join(tmpdir(), "airgap-test-"));
  /** Every event of the builds that ran here. */
  readonly events: Event[] = [];

  path(name: string): string {
    return join(this.dir, name);
  }

  write(name: string, content: string | Uint8Array): string {
    writeFileSync(this.path(name), content);
    return this.path(name);
  }

  /** Writes `site.yaml` with these lines below its head. */
  spec(lines: string): string {
    return this.write("site.yaml", `apiVersion: airgap/v1\nkind: Bundle\nname: site\n${lines}\n`);
  }

  build(more: Partial<BuildOptions> = {}): Promise<BuildResult> {
    return build({
      spec: this.path("site.yaml"),
      output: this.path("site.tar"),
      locked: false,
      lockOnly: false,
      fresh: false,
      dryRun: false,
      reuse: [],
      concurrency: 8,
      cacheDir: this.path("cache"),
      emit: (event) => this.events.push(event),
      ...more,
    });
  }

  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
