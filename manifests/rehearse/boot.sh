# What a host of a rehearsal does before its init starts: what firmware, disk and DHCP would have done, and what keeps
# the machine that lends its kernel as it is. The host's settings are in REHEARSAL_…
set -eu

mount --make-rshared /

# An installation replaces these files, which it can't while each is a mount of the engine's.
for file in hosts hostname resolv.conf; do
	while umount "/etc/$file" 2>/dev/null; do :; done
done
printf '127.0.0.1 localhost\n' >/etc/hosts
printf '%s\n' "$REHEARSAL_HOSTNAME" >/etc/hostname
rm -f /etc/resolv.conf
printf 'nameserver %s\n' "$REHEARSAL_OUTSIDE" >/etc/resolv.conf

# Whatever is not on the network of the hosts would go to the place outside. It is counted here, after kube-proxy has
# translated it, and refused at once; without nft it is refused there and not counted.
ip route replace default via "$REHEARSAL_OUTSIDE"
if command -v nft >/dev/null; then
	nft -f - <<-RULES || :
		table ip rehearsal {
			set asked {
				type ipv4_addr . ipv4_addr . inet_proto . inet_service
				flags dynamic
				size 65535
				counter
			}
			set other {
				type ipv4_addr . ipv4_addr . inet_proto
				flags dynamic
				size 65535
				counter
			}
			chain seen {
				oifname != "eth0" return
				ip daddr { $REHEARSAL_INSIDE, 127.0.0.0/8, 224.0.0.0/4, 255.255.255.255 } return
				meta l4proto { tcp, udp } add @asked { ip saddr . ip daddr . meta l4proto . th dport } reject with icmp type net-unreachable
				add @other { ip saddr . ip daddr . meta l4proto } reject with icmp type net-unreachable
			}
			chain own {
				type filter hook output priority 10; policy accept;
				jump seen
			}
			chain through {
				type filter hook forward priority 10; policy accept;
				jump seen
			}
		}
	RULES
fi

# An address that somebody else holds at the site, and this host in the rehearsal.
[ -z "${REHEARSAL_ALSO-}" ] || ip address add "$REHEARSAL_ALSO/32" dev eth0

printf '%s\n' "$REHEARSAL_MACHINE_ID" >/etc/machine-id
rm -f /var/lib/dbus/machine-id

# Kernel-wide settings belong to the machine. The host gets files of its own in their place: it may set them as on a
# machine of its own. Swap is the machine's too, and the host must not switch it off.
own=/run/rehearsal
mkdir -p "$own"
instead() {
	[ -e "$1" ] || return 0
	copy=$own$(printf '%s' "$1" | tr / .)
	cat "$1" >"$copy" 2>/dev/null || return 0
	mount --bind "$copy" "$1"
}
for folder in vm fs fs/inotify kernel kernel/keys kernel/yama; do
	for file in /proc/sys/"$folder"/*; do
		case $file in */kernel/hostname | */kernel/domainname | */kernel/osrelease | */kernel/ns_last_pid) continue ;; esac
		if [ -f "$file" ] && [ -w "$file" ] && [ -r "$file" ]; then instead "$file"; fi
	done
done
head -n 1 /proc/swaps >"$own/swaps"
mount --bind "$own/swaps" /proc/swaps
if [ -e /sys/class/dmi/id/product_uuid ]; then
	printf '%s\n' "$REHEARSAL_UUID" >"$own/product_uuid"
	mount --bind "$own/product_uuid" "$(readlink -f /sys/class/dmi/id/product_uuid)"
fi

# The clock is the machine's.
mkdir -p /etc/systemd/system.conf.d
printf '[Manager]\nCapabilityBoundingSet=~CAP_SYS_TIME\nDefaultTimeoutStopSec=10s\n' >/etc/systemd/system.conf.d/rehearsal.conf
for unit in console-getty.service getty@.service systemd-networkd-wait-online.service apt-daily.timer \
	apt-daily-upgrade.timer dnf-makecache.timer systemd-firstboot.service systemd-networkd.service \
	NetworkManager.service systemd-resolved.service; do
	ln -sf /dev/null "/etc/systemd/system/$unit"
done

rm -f /etc/ssh/ssh_host_*
ssh-keygen -q -A
umask 077
mkdir -p /root/.ssh
printf '%s\n' "$REHEARSAL_KEY" >/root/.ssh/authorized_keys
umask 022

for name in REHEARSAL_HOSTNAME REHEARSAL_OUTSIDE REHEARSAL_INSIDE REHEARSAL_ALSO REHEARSAL_MACHINE_ID REHEARSAL_UUID REHEARSAL_KEY; do unset "$name"; done
for init in /lib/systemd/systemd /usr/lib/systemd/systemd /sbin/init; do
	if [ -x "$init" ]; then exec "$init"; fi
done
echo "the image has no systemd" >&2
exit 1
