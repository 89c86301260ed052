#!/bin/sh
# Answers ssh's questions. The answers are in ssh's environment: no file and no process list shows them.
# Servers choose the words of some prompts: each prompt is compared whole, and an unexpected one gets no answer.
set -fu
newline='
'
prompt=$1

note() { [ -e "$AIRGAP_ASK_DIR/$1" ] || printf '%s\n' "$prompt" >"$AIRGAP_ASK_DIR/$1"; }
refuse() {
	note other
	exit 1
}
is() { [ "$prompt" = "$1" ]; }

# is_ours NAME: one of the names by which ssh may know the host.
is_ours() {
	for name in $AIRGAP_ASK_NAMES; do
		[ "$1" != "$name" ] || return 0
	done
	return 1
}

# The host name in the question about a host key, without its port.
asked_host() {
	host=${prompt#"The authenticity of host '"}
	host=${host%%"' can't be established"*}
	host=${host%%" ("*}
	case $host in
	"["*"]:"*)
		host=${host#"["}
		host=${host%"]:"*}
		;;
	esac
	printf '%s\n' "$host"
}

# The fingerprint in the question; nothing if there are several.
asked_fingerprint() {
	found=
	rest=$prompt$newline
	while [ -n "$rest" ]; do
		line=${rest%%"$newline"*}
		rest=${rest#*"$newline"}
		case $line in
		*" key fingerprint is SHA256:"*"."*)
			[ -z "$found" ] || return 0
			found=${line#*" key fingerprint is "}
			;;
		esac
	done
	printf '%s\n' "${found%.}"
}

answer_host_key() {
	is_ours "$(asked_host)" || refuse
	note host-key
	if [ -z "$AIRGAP_ASK_FINGERPRINT" ] || [ "$(asked_fingerprint)" != "$AIRGAP_ASK_FINGERPRINT" ]; then
		echo no
		return
	fi
	# If ssh accepts a fingerprint as the answer, it compares it with the key itself.
	case $prompt in
	*"(yes/no/[fingerprint])? ") printf '%s\n' "$AIRGAP_ASK_FINGERPRINT" ;;
	*) echo yes ;;
	esac
}

answer_passphrase() {
	[ -z "$AIRGAP_ASK_KEY" ] || is "Enter passphrase for key '$AIRGAP_ASK_KEY': " || refuse
	note passphrase
	[ -n "$AIRGAP_ASK_PASSPHRASE" ] || exit 1
	printf '%s\n' "$AIRGAP_ASK_PASSPHRASE"
}

# ssh's own prompt, which it cuts; PAM's prompt, to which ssh adds the login since 8.5.
asks_password() {
	for name in $AIRGAP_ASK_NAMES; do
		is "$(printf "%.30s@%.128s's password: " "$AIRGAP_ASK_USER" "$name")" && return
		is "($AIRGAP_ASK_USER@$name) Password: " && return
		is "($AIRGAP_ASK_USER@$name) Password:" && return
	done
	is "Password: " || is "Password:"
}

# The ssh to a jump host inherits our environment, but its questions are about another host.
[ "$PPID" = "$AIRGAP_ASK_PID" ] || refuse
case $prompt in
"The authenticity of host '"*"Are you sure you want to continue connecting (yes/no)? " | \
	"The authenticity of host '"*"Are you sure you want to continue connecting (yes/no/[fingerprint])? ")
	answer_host_key
	;;
*"$newline"*) refuse ;;
"Enter passphrase for key '"*"': ") answer_passphrase ;;
*)
	asks_password || refuse
	[ -n "$AIRGAP_ASK_PASSWORD" ] || exit 1
	printf '%s\n' "$AIRGAP_ASK_PASSWORD"
	;;
esac
