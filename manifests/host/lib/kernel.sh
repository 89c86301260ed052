# Kernel modules and settings.
# shellcheck disable=SC2154  # airgap_home is set in steps.sh

# airgap_module_shows NAME: finds traces of its code, even if it is built into the kernel or was loaded by
# a system whose modules are not visible (a container's host). Without such a trace, a list tells what is built in. A
# kernel without modules has no list; whether it has the code shows only when it is used.
airgap_module_shows() {
	case $1 in
	overlay) grep -qw overlay /proc/filesystems ;;
	br_netfilter) [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] ;;
	nf_conntrack | nf_conntrack_ipv4) [ -e /proc/sys/net/netfilter/nf_conntrack_max ] ;;
	ip_vs) [ -e /proc/net/ip_vs ] ;;
	*) [ ! -d "/lib/modules/$(uname -r)" ] || grep -qs "/$1\\.ko" "/lib/modules/$(uname -r)/modules.builtin" ;;
	esac
}

# modules_are_loaded NAME...
modules_are_loaded() {
	for airgap_module in "$@"; do
		[ -d /sys/module/"$airgap_module" ] || airgap_module_shows "$airgap_module" ||
			fail "the kernel module $airgap_module is not loaded"
	done
}

# load_modules NAME...: modules_are_loaded reports the one that did not load.
load_modules() { for airgap_module in "$@"; do modprobe "$airgap_module" || :; done; }

# airgap_sysctl_lines NAME=VALUE...: an extended expression for lines of /etc/sysctl.conf that set one of these names,
# whose parts may be separated by a slash there.
airgap_sysctl_lines() {
	airgap_names=
	for airgap_setting in "$@"; do airgap_names=${airgap_names:+$airgap_names|}${airgap_setting%%=*}; done
	printf '^[[:space:]]*(%s)[[:space:]]*=' "$airgap_names" | sed 's,\.,[./],g'
}
airgap_sysctl_file() { printf '%s' /proc/sys/"$(printf '%s' "${1%%=*}" | tr . /)"; }

# sysctls_are_set REQUIRED WISHED: both are lists of NAME=VALUE. WISHED is set if the kernel has it, but it is
# not required. /etc/sysctl.conf may not set any of them, since it is read last.
sysctls_are_set() {
	for airgap_setting in $1; do
		[ "$(cat "$(airgap_sysctl_file "$airgap_setting")")" = "${airgap_setting#*=}" ] ||
			fail "${airgap_setting%%=*} is not ${airgap_setting#*=}"
	done
	# shellcheck disable=SC2086  # lists
	! grep -qsE "$(airgap_sysctl_lines $1 $2)" /etc/sysctl.conf || fail "/etc/sysctl.conf overrides some of them"
}

# airgap_set_sysctl NAME=VALUE: its first value is kept for restore_sysctls.
airgap_set_sysctl() {
	airgap_file=$(airgap_sysctl_file "$1")
	[ -e "$airgap_file" ] && [ "$(cat "$airgap_file")" != "${1#*=}" ] || return 0
	grep -qsF "$airgap_file " "$airgap_home/sysctl" ||
		printf '%s %s\n' "$airgap_file" "$(cat "$airgap_file")" >>"$airgap_home/sysctl"
	printf '%s\n' "${1#*=}" >"$airgap_file" || :
}

# set_sysctls REQUIRED WISHED
set_sysctls() {
	# shellcheck disable=SC2086  # lists
	set -- $1 $2
	airgap_lines=$(airgap_sysctl_lines "$@")
	if grep -qsE "$airgap_lines" /etc/sysctl.conf; then
		keep /etc/sysctl.conf
		sed -i -E "\\,$airgap_lines,s/^/# airgap: /" /etc/sysctl.conf
	fi
	for airgap_setting in "$@"; do airgap_set_sysctl "$airgap_setting"; done
}

# restore_sysctls: sets the values from before set_sysctls.
restore_sysctls() {
	give_back /etc/sysctl.conf
	[ -e "$airgap_home/sysctl" ] || return 0
	while read -r airgap_file airgap_value; do printf '%s\n' "$airgap_value" >"$airgap_file" || :; done <"$airgap_home/sysctl"
	rm -f "$airgap_home/sysctl"
}
