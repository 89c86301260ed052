/** Where a system's packages come from. */
export interface InitSystem {
  /** What `--os` takes, and the name of the package set: `el9`. */
  name: string;
  /** For people: `Rocky, Alma or RHEL 9`. */
  title: string;
  format: "rpm" | "deb";
  /** os-release ID and version: `for:` of the set. */
  for: string[];
  /** Repositories of the system itself. */
  base(arch: Arch, china: boolean): Repository[];
  /** Docker's own repository, where its packages come from there. */
  docker?(arch: Arch, china: boolean): Repository;
  /** Packages of every node besides the runtime and Kubernetes. */
  tools: string[];
  containerd: string[];
  dockerEngine: string[];
  /** The Kubernetes that `init` proposes. */
  kubernetes: string;
  notes: string[];
}

export type Arch = "amd64" | "arm64";

export interface Repository {
  id: string;
  /** Without quotes; `suites` and `components` make it a DEB repository. */
  url: string;
  keys: string[];
  suites?: string[];
  components?: string[];
  note?: string;
}

export const MACHINE: Record<Arch, string> = { amd64: "x86_64", arm64: "aarch64" };
const ALIYUN = "https://mirrors.aliyun.com";
/** Proposed where nothing speaks against it: the release that the tests run. */
const USUAL = "v1.34.4";

const dockerRpm =
  (folder: string) =>
  (arch: Arch, china: boolean): Repository => {
    const base = china ? `${ALIYUN}/docker-ce/linux` : "https://download.docker.com/linux";
    return {
      id: "docker",
      url: `${base}/${folder}/${MACHINE[arch]}/stable/`,
      keys: [`${base}/${folder.split("/")[0]}/gpg`],
    };
  };

const rocky =
  (major: number, key: string) =>
  (arch: Arch, china: boolean): Repository[] => {
    const root = china ? `${ALIYUN}/rockylinux` : "https://dl.rockylinux.org/pub/rocky";
    return ["BaseOS", "AppStream"].map((part) => ({
      id: part.toLowerCase(),
      url: `${root}/${major}/${part}/${MACHINE[arch]}/os/`,
      keys: [`${root}/${key}`],
    }));
  };

const centos7 = (arch: Arch, china: boolean): Repository[] => {
  const root = china ? `${ALIYUN}/centos-vault` : "https://vault.centos.org";
  const base = arch === "amd64" ? `${root}/7.9.2009` : `${root}/altarch/7.9.2009`;
  const keys = ["RPM-GPG-KEY-CentOS-7", ...(arch === "arm64" ? ["RPM-GPG-KEY-CentOS-7-aarch64"] : [])];
  return ["os", "updates", "extras"].map((part) => ({
    id: part,
    url: `${base}/${part}/${MACHINE[arch]}/`,
    keys: keys.map((key) => `${base}/os/${MACHINE[arch]}/${key}`),
    ...(part === "extras" ? { note: "container-selinux" } : {}),
  }));
};

const openEuler =
  (release: string) =>
  (arch: Arch): Repository[] => {
    const base = `https://repo.openeuler.org/${release}`;
    return ["OS", "update", "everything", "EPOL/main"].map((part) => ({
      id: part.toLowerCase().replace("/main", ""),
      url: `${base}/${part}/${MACHINE[arch]}/`,
      keys: [`${base}/OS/${MACHINE[arch]}/RPM-GPG-KEY-openEuler`],
    }));
  };

const kylin = (arch: Arch): Repository[] =>
  ["base", "updates"].map((part) => ({
    id: part,
    url: `https://update.cs2c.com.cn/NS/V10/V10SP3/os/adv/lic/${part}/${MACHINE[arch]}/`,
    keys: ["keys/RPM-GPG-KEY-kylin"],
  }));

const debian =
  (codename: string, release: number) =>
  (_arch: Arch, china: boolean): Repository[] => {
    const keys = "https://ftp-master.debian.org/keys";
    const [main, security] = china
      ? [`${ALIYUN}/debian`, `${ALIYUN}/debian-security`]
      : ["https://ftp.debian.org/debian", "https://security.debian.org/debian-security"];
    return [
      {
        id: "main",
        url: main,
        suites: [codename, `${codename}-updates`],
        components: ["main"],
        keys: [`${keys}/archive-key-${release}.asc`],
      },
      {
        id: "security",
        url: security,
        suites: [`${codename}-security`],
        components: ["main"],
        keys: [`${keys}/archive-key-${release}-security.asc`],
      },
    ];
  };

const ubuntu =
  (codename: string) =>
  (arch: Arch, china: boolean): Repository[] => {
    const ports = arch === "arm64";
    const url = china
      ? `${ALIYUN}/${ports ? "ubuntu-ports" : "ubuntu"}`
      : ports
        ? "https://ports.ubuntu.com/ubuntu-ports"
        : "https://archive.ubuntu.com/ubuntu";
    return [
      {
        id: "main",
        url,
        suites: [codename, `${codename}-updates`, `${codename}-security`],
        components: ["main", "universe"],
        keys: [
          `${china ? `${ALIYUN}/ubuntu` : "https://archive.ubuntu.com/ubuntu"}/project/ubuntu-archive-keyring.gpg`,
        ],
      },
    ];
  };

const RPM_TOOLS = ["conntrack-tools", "socat", "ethtool", "ipset", "ipvsadm", "chrony", "bash-completion"];
const DEB_TOOLS = [
  "conntrack",
  "socat",
  "ethtool",
  "ebtables",
  "ipset",
  "ipvsadm",
  "chrony",
  "nfs-common",
  "bash-completion",
];
const DOCKER_CE = ["docker-ce", "docker-ce-cli", "containerd.io"];

const el = (major: number, key: string, docker: string): InitSystem => ({
  name: `el${major}`,
  title: `Rocky, Alma or RHEL ${major}`,
  format: "rpm",
  for: [`rocky-${major}`, `almalinux-${major}`, `rhel-${major}`],
  base: rocky(major, key),
  docker: dockerRpm(docker),
  tools: [...RPM_TOOLS, "iproute-tc"],
  containerd: ["container-selinux", "containerd.io"],
  dockerEngine: ["container-selinux", ...DOCKER_CE],
  kubernetes: USUAL,
  notes: [
    `The packages are Rocky's. On RHEL, name your own CDN (\`clientCert:\`) or the DVD as a folder, or Red Hat will`,
    `not support these hosts: docs/packages.md. ".../${major}/" moves with each point release: use the hosts' own.`,
  ],
});

const debianSystem = (release: number, codename: string): InitSystem => ({
  name: `debian-${release}`,
  title: `Debian ${release}`,
  format: "deb",
  for: [`debian-${release}`],
  base: debian(codename, release),
  tools: DEB_TOOLS,
  containerd: ["containerd", "runc"],
  dockerEngine: ["docker.io", "containerd", "runc"],
  kubernetes: USUAL,
  notes: ["The container runtime is Debian's own."],
});

const ubuntuSystem = (release: string, codename: string): InitSystem => ({
  name: `ubuntu-${release}`,
  title: `Ubuntu ${release}`,
  format: "deb",
  for: [`ubuntu-${release}`],
  base: ubuntu(codename),
  tools: DEB_TOOLS,
  containerd: ["containerd", "runc"],
  dockerEngine: ["docker.io", "containerd", "runc"],
  kubernetes: USUAL,
  notes: ["The container runtime is Ubuntu's own."],
});

const openEulerSystem = (release: string, folder: string): InitSystem => ({
  name: `openeuler-${release}`,
  title: `openEuler ${release}`,
  format: "rpm",
  for: [`openeuler-${release}`],
  base: openEuler(folder),
  tools: RPM_TOOLS,
  containerd: ["containerd", "runc"],
  dockerEngine: ["docker-engine"],
  kubernetes: USUAL,
  notes: [
    "The container runtime is openEuler's own. It boots with cgroup v1: Kubernetes 1.35 and newer refuse that",
    "unless the hosts boot with systemd.unified_cgroup_hierarchy=1.",
  ],
});

/** Every system that `init` knows, in the order of its question. */
export const INIT_SYSTEMS: readonly InitSystem[] = [
  el(9, "RPM-GPG-KEY-Rocky-9", "centos/9"),
  {
    ...el(8, "RPM-GPG-KEY-rockyofficial", "rhel/8"),
    // Kernel 4.18: kubeadm 1.32 and 1.33 refuse it, 1.34 warns.
    kubernetes: "v1.31.14",
  },
  {
    ...el(10, "RPM-GPG-KEY-Rocky-10", "centos/10"),
    notes: [
      ...el(10, "", "centos/10").notes,
      "EL 10 has no ip_tables. Add kernel-modules-extra-VERSION with exactly the hosts' kernel (uname -r) to `all:`.",
    ],
  },
  {
    name: "el7",
    title: "CentOS 7.9",
    format: "rpm",
    for: ["centos-7"],
    base: centos7,
    docker: dockerRpm("centos/7"),
    tools: [...RPM_TOOLS, "ebtables"],
    containerd: ["container-selinux", "containerd.io"],
    dockerEngine: ["container-selinux", "docker-ce-20.10.24", "docker-ce-cli-20.10.24", "containerd.io"],
    kubernetes: "v1.23.17",
    notes: [
      "CentOS 7 is no longer built; its vault stands still. Kubernetes runs on it up to 1.31.",
      "The host that serves the bundle needs glibc 2.28, which CentOS 7 does not have: give it a newer system.",
    ],
  },
  debianSystem(12, "bookworm"),
  debianSystem(13, "trixie"),
  ubuntuSystem("22.04", "jammy"),
  ubuntuSystem("24.04", "noble"),
  openEulerSystem("22.03", "openEuler-22.03-LTS-SP4"),
  openEulerSystem("24.03", "openEuler-24.03-LTS-SP1"),
  {
    name: "kylin-v10",
    title: "Kylin V10 (SP3)",
    format: "rpm",
    for: ["kylin-v10"],
    base: kylin,
    docker: dockerRpm("centos/8"),
    tools: RPM_TOOLS,
    containerd: ["container-selinux", "containerd.io"],
    dockerEngine: ["container-selinux", ...DOCKER_CE],
    kubernetes: "v1.31.14",
    notes: [
      "Copy the key from a Kylin host: /etc/pki/rpm-gpg/RPM-GPG-KEY-kylin to keys/ beside this file.",
      "The container runtime is Docker's build for EL 8.",
    ],
  },
];

/** Other names that people use. */
export const SYSTEM_ALIASES: Record<string, string> = {
  "centos-7": "el7",
  centos7: "el7",
  "rocky-8": "el8",
  "rocky-9": "el9",
  "rocky-10": "el10",
  "almalinux-8": "el8",
  "almalinux-9": "el9",
  "almalinux-10": "el10",
  "rhel-8": "el8",
  "rhel-9": "el9",
  "rhel-10": "el10",
  kylin: "kylin-v10",
  "kylin-10": "kylin-v10",
  debian12: "debian-12",
  debian13: "debian-13",
  ubuntu2204: "ubuntu-22.04",
  ubuntu2404: "ubuntu-24.04",
};
