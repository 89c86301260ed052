import { open } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { replaceFileSync } from "../atomic.ts";
import { AirgapError, messageOf } from "../errors.ts";
import { count, formatBytes } from "../format.ts";
import { quote } from "../host/host.ts";
import { itemsOf, type Lock } from "../lock/lock.ts";
import { type Digest, digestOf, hexOf } from "../oci/digest.ts";
import { HashPool } from "./hash-pool.ts";
import { blobName, type Layout } from "./layout.ts";
import { addSums, SUMS } from "./sums.ts";

/** The text file beside a bundle, for people who have nothing but the medium. */
export const readmePath = (bundle: string): string => `${bundle}.README.txt`;
export const sumsPath = (bundle: string): string => join(dirname(bundle), SUMS);

/** The digest of a whole tar. */
export async function digestOfTar(path: string): Promise<Digest> {
  const pool = new HashPool(1);
  const file = await open(path, "r");
  try {
    return (await pool.digest({ fd: file.fd, offset: 0, size: (await file.stat()).size })).digest;
  } finally {
    await pool.close();
    await file.close();
  }
}

/** Lines that take the tool out of a bundle with tar alone, for each architecture. */
export function extractLines(
  bundle: string,
  lock: Lock,
  { byDigest }: Pick<Layout, "byDigest">,
  inVolumes = false,
): string[] {
  const from = inVolumes ? `cat ${quote(bundle)}.[0-9]* | tar -xOf -` : `tar -xOf ${quote(bundle)}`;
  return itemsOf(lock, "self").flatMap(({ facts }) =>
    facts && byDigest.has(facts.digest) ? [`${from} ${blobName(facts.digest)} | tar -xz`] : [],
  );
}

/**
 * Writes `site.tar.README.txt`, and its line and the bundle's in `SHA256SUMS`. The same bundle gives the same text.
 * @param tarDigest absent for volumes, whose lines are there already
 * @throws AirgapError `disk`
 */
export function writeBeside(bundle: string, lock: Lock, layout: Layout, tarDigest?: Digest): void {
  const text = readmeText(basename(bundle), lock, layout, tarDigest);
  try {
    replaceFileSync(readmePath(bundle), text);
  } catch (cause) {
    throw new AirgapError("disk", `Cannot write the files beside ${bundle}: ${messageOf(cause)}`, { cause });
  }
  const own = tarDigest ? [[basename(bundle), hexOf(tarDigest)] as const] : [];
  addSums(dirname(bundle), new Map([...own, [basename(readmePath(bundle)), hexOf(digestOf(text))]]));
}

/** In English and Chinese, in lines of at most 78 columns but for what is to be typed. */
export function readmeText(name: string, lock: Lock, layout: Layout, tarDigest: Digest | undefined): string {
  const { lockDigest, size } = layout;
  const [first] = itemsOf(lock, "self");
  const folder = first?.name.replace(/-linux-.*$/, "");
  const airgap = folder === undefined ? "airgap" : `./${folder}/bin/airgap`;
  const lines = extractLines(name, lock, layout, tarDigest === undefined);
  const take = (none: string, onPath: string): string[] =>
    lines.length > 0
      ? [...lines.map((line) => `   ${line}`), `   ${onPath} ./${folder}/install.sh`]
      : [`   ${none}`];
  const facts = [
    `name      ${lock.name}`,
    ...(lock.kubernetes ? [`versions  Kubernetes ${lock.kubernetes.join(", ")}`] : []),
    `platforms ${lock.platforms.join(", ")}`,
    `content   ${count(lock.items.length, "item")}, ${formatBytes(size)} (${size} bytes)`,
    `lock      ${lockDigest}`,
    ...(tarDigest ? [`tar       ${tarDigest}`] : []),
  ];
  const commands = [
    `   ${airgap} verify ${name}`,
    `   ${airgap} list ${name}`,
    `   ${airgap} serve ${name} --listen 0.0.0.0:443 --self-signed`,
    `   ${airgap} push ${name} REGISTRY --create-projects private`,
    `   ${airgap} install cluster.yaml --bundle ${name}`,
  ];
  return `${[
    `${name}: a bundle of airgap`,
    "",
    "It holds container images, packages, manifests and files for a site without",
    "internet, in one tar that is also an OCI image layout.",
    "",
    ...facts,
    "",
    "1. Compare it with what was sent:",
    "   sha256sum -c SHA256SUMS --ignore-missing",
    "2. Take airgap itself out (Linux; it needs glibc 2.28 or newer, nothing else):",
    ...take(
      "airgap is not in this bundle; bring it to the site apart",
      "On the PATH, with man pages and completion:",
    ),
    "3. Verify the bundle, look into it, and use it in one of these ways:",
    ...commands,
    "",
    "The lock's digest names the whole content. Compare it with the one that was",
    "approved; `verify` prints it.",
    "",
    "------------------------------------------------------------------------------",
    `${name}：airgap 离线包`,
    "",
    "离线站点所需的镜像、软件包、清单和文件都在这一个 tar 里；它同时是 OCI 镜像布局。",
    "",
    ...facts,
    "",
    "1. 核对与发送方一致：",
    "   sha256sum -c SHA256SUMS --ignore-missing",
    "2. 取出 airgap 程序（Linux，glibc 2.28 或更新，无其他依赖）：",
    ...take("此离线包不含 airgap，请另行带入", "加入 PATH，并安装 man 手册和命令补全："),
    "3. 校验离线包、查看内容，然后任选一种方式使用：",
    ...commands,
    "",
    "lock 的摘要代表全部内容。请与审批时的摘要比对；verify 会显示它。",
    "",
  ].join("\n")}`;
}
