# Packages, with any package manager.
# shellcheck disable=SC2154  # airgap_home is set in steps.sh

# disable_if_ours PACKAGES UNIT...: disables them if one of the packages came with the cluster; a service that was there before
# keeps running.
disable_if_ours() {
	airgap_packages=$1
	shift
	for airgap_package in $airgap_packages; do
		if grep -qsxF "$airgap_package" "$airgap_home/installed-packages"; then disable_services "$@"; fi
	done
}

# remove_packages FILE: FILE lists the packages that came with the cluster, one a line, and none that was there before.
remove_packages() {
	# shellcheck disable=SC2046
	set -- $(sort -u "$1")
	if have apt-get; then
		apt-mark unhold "$@" >/dev/null || :
		apt-get -y purge "$@"
	elif have dnf; then
		dnf -y remove --noautoremove "$@"
	else
		yum -y remove "$@"
	fi
}

# airgap_refuse IGNORED CHECK SENTENCE NAMES: fails if NAMES is not empty, unless CHECK is in the list IGNORED.
airgap_refuse() {
	case " $1 " in *" $2 "*) return 0 ;; esac
	[ -z "$4" ] || fail "$2: $3 $4"
}

# at_least VERSION WANTED: the version is the wanted one or a later one; a v before either does not count.
at_least() { [ -n "$1" ] && [ "$(printf '%s\n%s\n' "${2#v}" "${1#v}" | sort -V | head -n 1)" = "${2#v}" ]; }
