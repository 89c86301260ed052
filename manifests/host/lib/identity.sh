# The identity of a host: its cluster, its name, its machine-id.
# shellcheck disable=SC2154  # airgap_home is set in steps.sh

# belongs_to CLUSTER
belongs_to() { [ "$(cat "$airgap_home/cluster" 2>/dev/null)" = "$1" ]; }

# claim CLUSTER: marks the host as one of this cluster.
claim() {
	mkdir -p "$airgap_home"
	printf '%s\n' "$1" >"$airgap_home/cluster"
}

# release: the host does not belong to a cluster any more.
release() {
	rm -f "$airgap_home/cluster"
	rm -rf "$airgap_home/stamps"
}

# hostname_is NAME: checks the name now and after a reboot.
hostname_is() { [ "$(uname -n)" = "$1" ] && [ "$(cat /etc/hostname)" = "$1" ]; }

# set_hostname NAME
set_hostname() {
	keep /etc/hostname
	printf '%s\n' "$1" >/etc/hostname
	hostname "$1" 2>/dev/null || printf '%s\n' "$1" >/proc/sys/kernel/hostname
	if have hostnamectl; then hostnamectl set-hostname "$1" 2>/dev/null || :; fi
}

# restore_hostname: sets the name from before set_hostname.
restore_hostname() {
	give_back /etc/hostname
	[ ! -s /etc/hostname ] || hostname "$(cat /etc/hostname)"
}

# machine_id_differs_from ID: the host has a machine-id, but not this one.
machine_id_differs_from() { [ -s /etc/machine-id ] && [ "$(cat /etc/machine-id)" != "$1" ]; }

# make_machine_id: makes a new one, also for D-Bus.
make_machine_id() {
	rm -f /etc/machine-id
	[ ! -f /var/lib/dbus/machine-id ] || [ -h /var/lib/dbus/machine-id ] || rm -f /var/lib/dbus/machine-id
	systemd-machine-id-setup
	[ ! -d /var/lib/dbus ] || [ -e /var/lib/dbus/machine-id ] || ln -s /etc/machine-id /var/lib/dbus/machine-id
}
