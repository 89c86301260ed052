/** The page's words. Commands and names are the same in every language. */
export interface Words {
  title: string;
  other: string;
  otherCode: string;
  empty: string;
  search: string;
  searchButton: string;
  copy: string;
  copied: string;
  bundle: string;
  lock: string;
  size: string;
  platforms: string;
  images: string;
  charts: string;
  packages: string;
  files: string;
  manifests: string;
  more(count: number): string;
  packageCount(count: number): string;
  use: string;
  containerd: string;
  docker: string;
  dockerNote: string;
  trust: string;
  fingerprint: string;
  compare: string;
  install: string;
  installOld: string;
  health: string;
  nothingFound: string;
  notFound: string;
  toStart: string;
}

const en: Words = {
  title: "airgap serve",
  other: "中文",
  otherCode: "zh",
  empty: "This registry is empty.",
  search: "Search images, charts, packages and files",
  searchButton: "Search",
  copy: "copy",
  copied: "copied",
  bundle: "Bundle",
  lock: "Lock",
  size: "Size",
  platforms: "Platforms",
  images: "Images",
  charts: "Helm charts",
  packages: "Packages",
  files: "Files",
  manifests: "Manifests",
  more: (count) => `and ${count} more: search for them`,
  packageCount: (count) => (count === 1 ? "1 package" : `${count} packages`),
  use: "Set up a host",
  containerd: "containerd: one file for each upstream registry",
  docker: "Docker",
  dockerNote: "Docker mirrors docker.io only. Other images need the names that are shown above.",
  trust: "Trust this server",
  fingerprint: "SHA-256 fingerprint of its authority",
  compare: "Compare the fingerprint with the one that was printed where the server was started.",
  install: "On the host",
  installOld: "apt older than 2.3.10",
  health: "health",
  nothingFound: "Nothing was found.",
  notFound: "There is nothing at this address",
  toStart: "To what is served here",
};

const zh: Words = {
  title: "airgap 离线仓库",
  other: "English",
  otherCode: "en",
  empty: "此仓库为空。",
  search: "搜索镜像、Chart、软件包和文件",
  searchButton: "搜索",
  copy: "复制",
  copied: "已复制",
  bundle: "离线包",
  lock: "Lock 摘要",
  size: "大小",
  platforms: "平台",
  images: "镜像",
  charts: "Helm Chart",
  packages: "软件包",
  files: "文件",
  manifests: "清单（YAML）",
  more: (count) => `还有 ${count} 项，请用搜索查找`,
  packageCount: (count) => `${count} 个软件包`,
  use: "配置主机",
  containerd: "containerd：每个上游仓库一个文件",
  docker: "Docker",
  dockerNote: "Docker 只能为 docker.io 配置镜像站，其他镜像请使用上面列出的名称。",
  trust: "信任此服务器的证书",
  fingerprint: "CA 证书的 SHA-256 指纹",
  compare: "请与启动服务器时打印的指纹核对。",
  install: "在主机上执行",
  installOld: "apt 低于 2.3.10",
  health: "健康检查",
  nothingFound: "没有找到。",
  notFound: "此地址没有内容",
  toStart: "返回首页",
};

/**
 * The words in the reader's language: `?lang=`, else what the browser prefers.
 * @param accept the Accept-Language header
 */
export function wordsFor(chosen: string | null, accept: string | undefined): { lang: string; words: Words } {
  const wanted = chosen ?? preferred(accept ?? "");
  return wanted.toLowerCase().startsWith("zh") ? { lang: "zh-CN", words: zh } : { lang: "en", words: en };
}

/** The language that stands highest, of those that there are. RFC 9110, 12.5.4 */
function preferred(accept: string): string {
  const ranges = accept.split(",").map((text) => {
    const [tag = "", ...parameters] = text.trim().split(";");
    const q = parameters.map((each) => /^\s*q=([\d.]+)$/.exec(each)?.[1]).find(Boolean);
    return { tag: tag.toLowerCase(), weight: q === undefined ? 1 : Number(q) };
  });
  const known = ranges.filter(({ tag, weight }) => /^(?:zh|en)(?:-|$)/.test(tag) && weight > 0);
  return known.sort((a, b) => b.weight - a.weight)[0]?.tag ?? "en";
}
