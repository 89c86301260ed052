# A route for the addresses of services, on hosts without a default route. A unit sets it at every boot.

# route_is_set RANGE DEVICE UNIT
route_is_set() { ip -4 route show "$1" | grep -q "dev $2" && systemctl is-enabled --quiet "$3"; }

# set_route UNIT
set_route() {
	systemctl daemon-reload
	systemctl enable "$1"
	systemctl restart "$1"
}

# unset_route RANGE DEVICE UNIT
unset_route() {
	disable_services "$3"
	ip route del "$1" dev "$2" 2>/dev/null || :
}
