# Services that may be missing, or may fail: neither stops a run.

# disable_services UNIT...: stops them, now and after a reboot.
disable_services() { systemctl disable --now "$@" 2>/dev/null || :; }

# restart_service UNIT
restart_service() { systemctl restart "$1" 2>/dev/null || :; }

# reload_service UNIT: it reads its configuration again.
reload_service() { systemctl reload "$1" || :; }

# enable_service UNIT: starts it at boot, but not now.
enable_service() {
	systemctl daemon-reload
	systemctl enable "$1"
}
