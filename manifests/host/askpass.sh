#!/bin/sh
# Answers what ssh asks. The answers are in the environment that ssh got: no file and no list of processes has them.
# Servers word some of the prompts: each is compared whole, and what is not expected gets no answer.
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

# The name that the question about a host key is about, without its port.
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

# The only fingerprint of the question; nothing when there are several.
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
	# Where ssh takes a fingerprint for an answer, it compares it with the key itself.
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

# ssh's own prompt, which it cuts; that of PAM, before which ssh puts the login from 8.5 on.
asks_password() {
	for name in $AIRGAP_ASK_NAMES; do
		is "$(printf "%.30s@%.128s's password: " "$AIRGAP_ASK_USER" "$name")" && return
		is "($AIRGAP_ASK_USER@$name) Password: " && return
		is "($AIRGAP_ASK_USER@$name) Password:" && return
	done
	is "Password: " || is "Password:"
}

# The ssh that leads to a jump host inherits our environment. What it asks is about another host.
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
