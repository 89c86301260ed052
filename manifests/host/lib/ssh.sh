# Who may log in by SSH.

# authorize_key USER LINE: LINE is a public key in the format of authorized_keys. Prints installed or present. Root runs it, so
# new files are given to the user.
authorize_key() {
	umask 077
	airgap_of_user=$(getent passwd "$1" | cut -d: -f6)
	airgap_group=$(id -gn "$1")
	airgap_file=$airgap_of_user/.ssh/authorized_keys
	if grep -qxF -e "$2" "$airgap_file" 2>/dev/null; then
		echo present
		return 0
	fi
	install -d -m 700 -o "$1" -g "$airgap_group" "$airgap_of_user/.ssh"
	# Our line would be appended to a last line without a line feed.
	[ ! -s "$airgap_file" ] || [ -z "$(tail -c 1 "$airgap_file")" ] || echo >>"$airgap_file"
	printf '%s\n' "$2" >>"$airgap_file"
	chown "$1:$airgap_group" "$airgap_file"
	chmod 600 "$airgap_file"
	if have restorecon; then restorecon -R "$airgap_of_user/.ssh" || :; fi
	echo installed
}
