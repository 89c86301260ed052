# The place where everything goes that is on no host of a rehearsal: whoever comes here is told that it is unreachable.
set -eu
printf 1 >/proc/sys/net/ipv4/ip_forward
for file in /proc/sys/net/ipv4/conf/*/send_redirects /proc/sys/net/ipv4/conf/*/rp_filter; do printf 0 >"$file"; done
ip route del default 2>/dev/null || :
ip route add unreachable default
