# Who may log in by SSH.

# authorize_key LINE: LINE is a public key in the format of authorized_keys. Prints installed or present, and the user who
# logged in, whose key it becomes. Root runs it, through sudo or not, so new files are given to the user.
authorize_key() {
	umask 077
	airgap_user=${SUDO_USER:-$(id -un)}
	airgap_of_user=$(getent passwd "$airgap_user" | cut -d: -f6)
	airgap_group=$(id -gn "$airgap_user")
	airgap_file=$airgap_of_user/.ssh/authorized_keys
	if grep -qxF -e "$1" "$airgap_file" 2>/dev/null; then
		echo "present $airgap_user"
		return 0
	fi
	install -d -m 700 -o "$airgap_user" -g "$airgap_group" "$airgap_of_user/.ssh"
	# Our line would be appended to a last line without a line feed.
	[ ! -s "$airgap_file" ] || [ -z "$(tail -c 1 "$airgap_file")" ] || echo >>"$airgap_file"
	printf '%s\n' "$1" >>"$airgap_file"
	chown "$airgap_user:$airgap_group" "$airgap_file"
	chmod 600 "$airgap_file"
	if have restorecon; then restorecon -R "$airgap_of_user/.ssh" || :; fi
	echo "installed $airgap_user"
}
