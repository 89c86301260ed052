# SELinux: permissive instead of enforcing. Never disabled: files keep their labels.

# selinux_is_permissive: checks it for now and after a reboot.
selinux_is_permissive() { [ "$(getenforce)" != Enforcing ] && ! grep -q '^SELINUX=enforcing' /etc/selinux/config; }

# make_selinux_permissive
make_selinux_permissive() {
	keep /etc/selinux/config
	sed -i 's/^SELINUX=enforcing/SELINUX=permissive/' /etc/selinux/config
	[ "$(getenforce)" != Enforcing ] || setenforce 0
}

# restore_selinux: makes it enforcing again if it was before.
restore_selinux() {
	give_back /etc/selinux/config
	if grep -q '^SELINUX=enforcing' /etc/selinux/config; then setenforce 1 || :; fi
}
