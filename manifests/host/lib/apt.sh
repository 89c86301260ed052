# Packages by apt and dpkg, only from the site's repository.
# PINNED and OTHERS are lists of NAME=VERSION. A pinned package must have this version; of the others, any
# installed version is accepted.
# shellcheck disable=SC2154  # airgap_home is set in steps.sh

# Packages that the system itself depends on: an extended expression.
airgap_deb_base='^(libc6|libc-bin|libc6-.*|systemd|systemd-sysv|libsystemd0|udev|openssl|libssl[0-9.]*|linux-image-.*|dpkg|apt|libapt-pkg.*|sudo|init)$'

# airgap_ask_dpkg NAME=VERSION...: what dpkg says about each, for airgap_dpkg_has.
airgap_ask_dpkg() {
	airgap_names=
	for airgap_package in "$@"; do airgap_names="$airgap_names ${airgap_package%%=*}"; done
	# shellcheck disable=SC2016,SC2086  # dpkg's own variables; a list
	airgap_status=$(dpkg-query -W -f='${Package} ${Status} ${Version}\n' $airgap_names 2>/dev/null || :)
}
# airgap_dpkg_has NAME [VERSION]
airgap_dpkg_has() {
	printf '%s\n' "$airgap_status" |
		awk -v n="$1" -v v="${2-}" '$1 == n && $4 == "installed" && (v == "" || $5 == v) { found = 1 } END { exit !found }'
}

# apt_has PINNED OTHERS
apt_has() {
	# shellcheck disable=SC2086  # lists
	airgap_ask_dpkg $1 $2
	for airgap_package in $1; do
		airgap_dpkg_has "${airgap_package%%=*}" "${airgap_package#*=}" || fail "$airgap_package is not installed"
	done
	for airgap_package in $2; do
		airgap_dpkg_has "${airgap_package%%=*}" || fail "${airgap_package%%=*} is not installed"
	done
}

# airgap_apt ARGUMENTS...: with the configuration $airgap_conf; without needrestart, which would restart services meanwhile.
airgap_apt() { NEEDRESTART_SUSPEND=1 apt-get -c "$airgap_conf" -y "$@"; }

# airgap_finish_dpkg: completes an earlier run that was interrupted. Others may hold dpkg's lock, as
# unattended-upgrades does after a boot: it waits five minutes for them.
airgap_finish_dpkg() {
	airgap_waited=0
	until airgap_said=$(dpkg --configure -a --force-confdef --force-confold 2>&1); do
		case $airgap_said in *'locked by another process'*) ;; *) fail "$airgap_said" ;; esac
		airgap_waited=$((airgap_waited + 2))
		[ "$airgap_waited" -lt 300 ] || fail "$airgap_said"
		sleep 2
	done
}

# apt_install CONF IGNORED PINNED OTHERS: IGNORED lists the checks package-removal and base-packages if the user
# ignores them. Records what it has installed, for remove_packages.
apt_install() {
	airgap_conf=$1
	airgap_ignored=$2
	airgap_others=$4
	# shellcheck disable=SC2086  # lists
	airgap_ask_dpkg $3 $4
	mkdir -p "$airgap_home/apt/lists/partial"
	chmod 755 "$airgap_home"
	airgap_finish_dpkg
	airgap_apt update
	# shellcheck disable=SC2086  # a list
	set -- $3
	for airgap_package in $airgap_others; do
		airgap_dpkg_has "${airgap_package%%=*}" || set -- "$@" "$airgap_package"
	done
	airgap_plan=$(airgap_apt -s install --allow-change-held-packages "$@") || fail "apt cannot install $*: $airgap_plan"
	airgap_removed=$(printf '%s\n' "$airgap_plan" | awk '$1 == "Remv" { print $2 }')
	airgap_replaced=$(printf '%s\n' "$airgap_plan" | awk '$1 == "Inst" && $3 ~ /^\[/ { print $2 }' | grep -E "$airgap_deb_base" || :)
	airgap_refuse "$airgap_ignored" package-removal 'apt would remove' "$airgap_removed"
	airgap_refuse "$airgap_ignored" base-packages 'apt would replace packages that the system depends on:' "$airgap_replaced"
	printf '%s\n' "$airgap_plan" | awk '$1 == "Inst" && $3 !~ /^\[/ { print $2 }' >>"$airgap_home/installed-packages"
	airgap_apt install --allow-change-held-packages "$@"
}

# apt_holds NAME...: does not ask apt-mark, which would write apt's cache.
apt_holds() {
	# shellcheck disable=SC2016  # dpkg's own variables
	airgap_holds=$(dpkg-query -W -f='${db:Status-Want} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^hold //p')
	for airgap_package in "$@"; do
		printf '%s\n' "$airgap_holds" | grep -qxF -e "$airgap_package" || fail "$airgap_package is not held"
	done
}

# apt_hold NAME...
apt_hold() { apt-mark hold "$@"; }

# apt_release NAME...
apt_release() { apt-mark unhold "$@" || :; }
