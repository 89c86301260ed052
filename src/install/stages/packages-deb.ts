import { raw, sh } from "../../plan/shell.ts";
import type { Step } from "../../plan/step.ts";
import { APT_CONF } from "./repository.ts";
import type { Allowed, Wanted } from "./wanted.ts";

/** Packages that the system itself stands on. */
const BASE =
  "^(libc6|libc-bin|libc6-.*|systemd|systemd-sysv|libsystemd0|udev|openssl|libssl[0-9.]*|linux-image-.*|dpkg|apt|libapt-pkg.*|sudo|init)$";

/** dpkg's word for each package, one line each: `name status version`. */
const STATUS = "dpkg-query -W -f='${Package} ${Status} ${Version}\\n'";

export function debSteps(wanted: Wanted[], held: string[], allowed: Allowed): Step[] {
  const checks = wanted.map(({ name, version, pinned }) =>
    pinned
      ? sh`has ${name} ${version} || fail ${`${name}=${version} is not installed`}`
      : sh`has ${name} || fail ${`${name} is not installed`}`,
  );
  const installs = wanted.map(({ name, version }) => `${name}=${version}`);
  const install: Step = {
    id: "install",
    title: `Packages: ${wanted.map(({ name, version, pinned }) => (pinned ? `${name} ${version}` : name)).join(", ")}`,
    check: `${statusFunction(wanted)}\n${checks.join("\n")}`,
    apply: sh`
      ${raw(statusFunction(wanted))}
      # needrestart would restart services in the middle of it.
      apt() { NEEDRESTART_SUSPEND=1 apt-get -c ${APT_CONF} -y "$@"; }
      mkdir -p /var/lib/airgap/apt/lists/partial
      chmod 755 /var/lib/airgap
      waited=0
      # What an earlier run left half done; behind whoever holds the lock, as unattended-upgrades does after a boot.
      until said=$(dpkg --configure -a --force-confdef --force-confold 2>&1); do
        case $said in *'locked by another process'*) ;; *) fail "$said" ;; esac
        waited=$((waited + 2))
        [ "$waited" -lt 300 ] || fail "$said"
        sleep 2
      done
      apt update
      # What is there and good enough stays as it is.
      set --
      for package in ${installs}; do
        if has "\${package%%=*}" && ! pinned "\${package%%=*}"; then continue; fi
        set -- "$@" "$package"
      done
      plan=$(apt -s install --allow-change-held-packages "$@") || fail "apt can't install $*: $plan"
      removed=$(printf '%s\n' "$plan" | awk '$1 == "Remv" { print $2 }')
      based=$(printf '%s\n' "$plan" | awk '$1 == "Inst" && $3 ~ /^\[/ { print $2 }' | grep -E ${BASE} || :)
      ${raw(allowed.removal ? ":" : `[ -z "$removed" ] || fail "package-removal: apt would remove $removed"`)}
      ${raw(allowed.base ? ":" : `[ -z "$based" ] || fail "base-packages: apt would replace packages that the system stands on: $based"`)}
      printf '%s\n' "$plan" | awk '$1 == "Inst" && $3 !~ /^\[/ { print $2 }' >>"$airgap_home/installed-packages"
      apt install --allow-change-held-packages "$@"`,
    timeoutMs: 3_600_000,
  };
  return [install, ...(held.length > 0 ? [holdStep(held)] : [])];
}

function statusFunction(wanted: Wanted[]): string {
  const names = wanted.map(({ name }) => name);
  const pins = wanted.filter(({ pinned }) => pinned).map(({ name }) => name);
  return sh`
    status=$(${raw(STATUS)} ${names} 2>/dev/null || :)
    has() { printf '%s\n' "$status" | awk -v n="$1" -v v="\${2-}" '$1 == n && $4 == "installed" && (v == "" || $5 == v) { found = 1 } END { exit !found }'; }
    pinned() { for each in ${pins}; do [ "$each" != "$1" ] || return 0; done; return 1; }`;
}

function holdStep(held: string[]): Step {
  return {
    id: "hold",
    title: `Held at their version: ${held.join(", ")}`,
    // apt-mark would write apt's cache for an answer.
    check: sh`
      holds=$(dpkg-query -W -f='\${db:Status-Want} \${Package}\n' ${held} 2>/dev/null | sed -n 's/^hold //p')
      for name in ${held}; do printf '%s\n' "$holds" | grep -qxF "$name" || fail "$name is not held"; done`,
    apply: sh`apt-mark hold ${held}`,
    undo: sh`apt-mark unhold ${held} || :`,
  };
}
