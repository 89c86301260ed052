import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { text as textOf } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { Args, Flags } from "@oclif/core";
import { replaceFile, replaceFileSync } from "../atomic.ts";
import { BundleReader } from "../bundle/reader.ts";
import { bundleFlags, openingOf } from "../bundle-flags.ts";
import { BaseCommand, withEnv } from "../command.ts";
import { AirgapError, isAirgapError, messageOf } from "../errors.ts";
import type { Inside } from "../inside/package.ts";
import type { ImageItem } from "../lock/lock.ts";
import { PREDICATES, SBOM_FORMATS, type SbomFormat, sbomText } from "../papers/sbom.ts";
import type { Syft } from "../site/serve/syft.ts";
import { signStatement } from "../trust/attestation.ts";
import { openSigner } from "../trust/key.ts";

interface SbomResult {
  format: SbomFormat;
  /** The file that was written; without `-o` the text itself. */
  file?: string;
  sbom?: string;
  /** With `--sign-key`: the signed statement that the SBOM is about this lock. */
  attestation?: string;
  /** Databases and layers that could not be read, by image. */
  unread: Record<string, string[]>;
}

export default class Sbom extends BaseCommand<SbomResult> {
  static override summary = "Write a software bill of materials of a bundle";
  static override description =
    "Lists images, packages, charts, manifests and files, with digests and package URLs, and the operating system's packages inside images: from the databases of apk, dpkg and rpm in their layers. The same bundle gives the same bytes. SBOMs that a publisher attached are named. With --sign-key it also writes FILE.attestation.json: a signed statement about the bundle's lock, for cosign verify-blob-attestation.";
  static override examples = [
    "<%= config.bin %> sbom site.tar --format spdx -o site.spdx.json",
    "<%= config.bin %> sbom site.tar --format cyclonedx --quick",
    "<%= config.bin %> sbom site.tar --format spdx -o site.spdx.json --sign-key site.key",
  ];
  static override args = { bundle: Args.string({ description: "The bundle", required: true }) };
  static override flags = withEnv({
    ...bundleFlags,
    format: Flags.option({
      description: "CycloneDX 1.6 or SPDX 2.3, both JSON",
      options: SBOM_FORMATS,
      default: "cyclonedx",
    })(),
    output: Flags.string({ char: "o", description: "File to write (default: stdout)", helpValue: "FILE" }),
    syft: Flags.boolean({
      description: "Also ask syft for what no package database tells, where it is on the PATH",
      allowNo: true,
      default: true,
    }),
    quick: Flags.boolean({ description: "From the lock alone: do not look into images" }),
    "sign-key": Flags.string({
      description: "Also write a signed attestation with this private key, beside the output file",
      helpValue: "KEY",
      dependsOn: ["output"],
    }),
  });

  readonly #unread: Record<string, string[]> = {};
  #syft: Syft | undefined;

  async run(): Promise<SbomResult> {
    const { args, flags } = await this.parse(Sbom);
    const { format, output, quick } = flags;
    const key = flags["sign-key"];
    const signer = key === undefined ? undefined : await openSigner(key, (ask) => this.passphrase(ask));
    const reader = await BundleReader.openUnless(this.signal, args.bundle, openingOf(flags, this.emit));
    try {
      const { lock, layout } = reader;
      const inside = quick ? undefined : await this.#insides(reader, flags.syft);
      const tools = this.#syft ? [{ name: "syft", version: this.#syft.version }] : [];
      const text = (): AsyncGenerator<string> =>
        sbomText(
          { lock, lockDigest: layout.lockDigest, version: this.config.version, tools, inside },
          format,
        );
      if (output === undefined) {
        const sbom = await this.report.stream(text());
        return { format, ...(sbom === undefined ? {} : { sbom }), unread: this.#unread };
      }
      const chunks = signer ? [await textOf(text())] : text();
      await this.#write(output, chunks);
      if (signer === undefined || !Array.isArray(chunks))
        return { format, file: output, unread: this.#unread };
      const attestation = `${output}.attestation.json`;
      const [, hex = ""] = layout.lockDigest.split(":");
      const subject = { name: "lock.json", algorithm: "sha256", hex };
      replaceFileSync(
        attestation,
        signStatement(signer, subject, PREDICATES[format], JSON.parse(chunks.join(""))),
      );
      this.report.line(`${attestation}: signed by ${signer.publicKey.fingerprint}`);
      return { format, file: output, attestation, unread: this.#unread };
    } finally {
      await this.#syft?.close();
      reader.close();
    }
  }

  /** Loaded only where images are looked into: it takes the readers of packages along. */
  async #insides(reader: BundleReader, withSyft: boolean): Promise<(image: ImageItem) => Promise<Inside[]>> {
    const { InsideReader } = await import("../inside/read.ts");
    const insides = new InsideReader(reader.source(), (digest) => reader.has(digest), this.signal);
    this.#syft = withSyft ? await (await import("../site/serve/syft.ts")).Syft.find(reader) : undefined;
    return async (image) => {
      this.emit({ type: "phase", name: "Looking", detail: `into ${image.name}` });
      const found = await insides.read(image);
      for (const each of this.#syft ? found : []) await this.#scan(image.name, each);
      const unread = [...new Set(found.flatMap((each) => each.unread))];
      if (unread.length > 0) {
        this.#unread[image.name] = unread;
        this.emit({ type: "warning", message: `${image.name}: ${unread.join("; ")}` });
      }
      return found;
    };
  }

  /** What databases do not tell. When syft fails, that is told, and the rest stands. */
  async #scan(image: string, into: Inside): Promise<void> {
    try {
      const others = await this.#syft?.scan(image, into.manifest, this.signal);
      if (others) into.others = others;
    } catch (error) {
      if (!isAirgapError(error, "environment")) throw error;
      into.unread.push(messageOf(error));
    }
  }

  async #write(file: string, chunks: Iterable<string> | AsyncIterable<string>): Promise<void> {
    try {
      await replaceFile(file, (draft) =>
        pipeline(Readable.from(chunks), createWriteStream(draft), { signal: this.signal }),
      );
    } catch (cause) {
      if (cause instanceof AirgapError || this.signal.aborted) throw cause;
      throw new AirgapError("disk", `Cannot write ${file}: ${messageOf(cause)}`, { cause });
    }
    this.report.line(file);
  }
}
