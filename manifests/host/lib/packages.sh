# Packages, whichever package manager the host has.

# remove_packages FILE: packages that came with the cluster, one a line; nothing that was there before is in it.
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
