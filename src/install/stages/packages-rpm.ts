import type { PackageSet } from "../bundle.ts";
import type { ClusterHost } from "../cluster.ts";
import type { Context } from "../context.ts";
import { raw, sh } from "../sh.ts";
import type { Step } from "../step.ts";
import { repositoryIds } from "./repository.ts";
import type { Allowed, Wanted } from "./wanted.ts";

interface Transaction {
  wanted: Wanted[];
  held: string[];
  allowed: Allowed;
}

/** Packages that the system itself stands on. */
const BASE = "^(glibc|systemd|openssl|openssl-libs|kernel|selinux-policy|rpm|dnf|yum|libdnf|sudo)(-.*)?$";

const withoutEpoch = (version: string): string => version.replace(/^\d+:/, "");
/** As yum 3, dnf and rpm all understand it. */
const exact = ({ name, version, arch }: Wanted): string => `${name}-${withoutEpoch(version)}.${arch}`;

export function rpmSteps(
  context: Context,
  host: ClusterHost,
  set: PackageSet,
  { wanted, held, allowed }: Transaction,
): Step[] {
  const manager = context.factsOf(host).packageManager ?? "dnf";
  const ids = repositoryIds(set, host);
  const checks = wanted.map((each) =>
    each.pinned
      ? sh`rpm -q --quiet ${exact(each)} || fail ${`${exact(each)} is not installed`}`
      : sh`rpm -q --quiet ${each.name} || rpm -q --quiet --whatprovides ${each.text} || fail ${`${each.text} is not installed`}`,
  );
  const install: Step = {
    id: "install",
    title: `Packages: ${wanted.map((each) => (each.pinned ? exact(each) : each.name)).join(", ")}`,
    check: checks.join("\n"),
    apply: sh`
      ${raw(managerFunction(manager, ids))}
      # What is there and good enough stays as it is.
      set --
      ${raw(wanted.map(request).join("\n"))}
      site clean metadata >/dev/null 2>&1 || :
      plan=$(site --assumeno install "$@" 2>&1) || :
      ${raw(SECTIONS)}
      removed=$(section '^(Removing|Downgrading)')$replaced
      based=$(section '^(Upgrading|Updating)' | grep -E '${raw(BASE)}' || :)
      ${raw(allowed.removal ? ":" : `[ -z "$removed" ] || fail "package-removal: ${manager} would remove or downgrade $removed"`)}
      ${raw(allowed.base ? ":" : `[ -z "$based" ] || fail "base-packages: ${manager} would replace packages that the system stands on: $based"`)}
      before=$(rpm -qa --qf '%{NAME}\n' | sort)
      site -y install "$@"
      rpm -qa --qf '%{NAME}\n' | sort | while read -r name; do
        printf '%s\n' "$before" | grep -qxF -e "$name" || printf '%s\n' "$name"
      done | grep -v '^gpg-pubkey$' >>"$airgap_home/installed-packages" || :`,
    timeoutMs: 3_600_000,
  };
  return [install, ...(held.length > 0 ? [holdStep(manager, held)] : [])];
}

function request(each: Wanted): string {
  const add = sh`set -- "$@" ${exact(each)}`;
  const there = sh`rpm -q --quiet ${each.name} || rpm -q --quiet --whatprovides ${each.text}`;
  return each.pinned ? add : `if ! { ${there}; }; then ${add}; fi`;
}

/** Names that a transaction's table has in sections like `Removing:`; long names stand alone on their line. */
const SECTIONS = sh`
  section() {
    printf '%s\n' "$plan" | awk -v wanted="$1" '
      /^[A-Z][A-Za-z ]*:$/ { on = ($0 ~ wanted); next }
      /^(Transaction Summary|=+|$)/ { on = 0 }
      on && /^ [^ ]/ { print $1 }'
  }
  # What gives way to a package that obsoletes it.
  replaced=$(printf '%s\n' "$plan" | awk '/^ +replacing +/ { print $2 }')`;

/** The site's repositories alone; what the host keeps from being updated does not keep us from installing. */
function managerFunction(manager: string, ids: string[]): string {
  const enable = ids.map((id) => `--enablerepo=${id}`);
  if (manager === "yum") return sh`site() { yum --disablerepo='*' ${enable} --disableexcludes=all "$@"; }`;
  return sh`
    case $(dnf --version 2>/dev/null) in
    *dnf5*) excludes='--setopt=disable_excludes=*' ;;
    *) excludes=--disableexcludes=all ;;
    esac
    site() { dnf --disablerepo='*' ${enable} --setopt=install_weak_deps=False --setopt=optional_metadata_types= "$excludes" "$@"; }`;
}

/** dnf's versionlock where it is, else the names are excluded from what the host does by itself. */
function holdStep(manager: string, held: string[]): Step {
  const file = manager === "yum" ? "/etc/yum.conf" : "/etc/dnf/dnf.conf";
  const names = held.join(" ");
  return {
    id: "hold",
    title: `Held at their version: ${held.join(", ")}`,
    check: sh`
      for name in ${held}; do
        sed -n 's/^exclude\(pkgs\)\{0,1\}[[:space:]]*=//p' ${file} | tr -s ', ' '\n' | grep -qxF "$name" || fail "$name is not held in ${raw(file)}"
      done`,
    apply: sh`
      keep ${file}
      if grep -qE '^exclude(pkgs)?[[:space:]]*=' ${file}; then
        sed -i -E ${`s/^(exclude(pkgs)?[[:space:]]*=.*)$/\\1 ${names}/`} ${file}
      elif grep -q '^\[main\]' ${file}; then
        sed -i ${`/^\\[main\\]/a exclude=${names}`} ${file}
      else
        printf '[main]\nexclude=%s\n' ${names} >>${file}
      fi`,
    undo: sh`give_back ${file}`,
  };
}
