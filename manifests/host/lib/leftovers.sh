# Removes what another cluster left on a host: only what somebody named.

# remove_leftover KIND NAME: a service, a network device or a configuration of a pod network.
remove_leftover() {
	case $1 in
	service) airgap_remove_service "$2" ;;
	device) ! ip link show "$2" >/dev/null 2>&1 || ip link delete "$2" ;;
	configuration) rm -f "$2" ;;
	*) fail "there are no leftovers of the kind $1" ;;
	esac
}

# airgap_remove_service UNIT: as its makers say, where they brought a program for that; else it is stopped for good.
airgap_remove_service() {
	case $1 in
	k3s | k3s-agent) airgap_names=$1-uninstall.sh ;;
	rke2-*) airgap_names=rke2-uninstall.sh ;;
	*) airgap_names= ;;
	esac
	for airgap_folder in /usr/local/bin /usr/bin /opt/rke2/bin; do
		if [ -n "$airgap_names" ] && [ -x "$airgap_folder/$airgap_names" ]; then
			"$airgap_folder/$airgap_names"
			break
		fi
	done
	systemctl disable --now "$1" 2>/dev/null || :
	! systemctl is-active --quiet "$1" || fail "$1 still runs"
}
