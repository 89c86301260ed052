#!/bin/sh
# What apt would install. apt-solve.sh STATE_DIR SOURCES STATUS ARCH RECOMMENDS(true|false) PACKAGE…
# Prints `name=version` lines, sorted; exit code 100 when apt finds no solution.
set -eu
state=$1 sources=$2 status=$3 arch=$4 recommends=$5
shift 5
mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$state/etc"
set -- -o Dir::State="$state" -o Dir::State::lists="$state/lists" -o Dir::State::status="$status" \
  -o Dir::State::extended_states="$state/extended" -o Dir::Cache="$state/cache" \
  -o Dir::Etc="$state/etc" -o Dir::Etc::sourcelist="$sources" -o Dir::Etc::sourceparts=- -o Dir::Etc::trustedparts=/etc/apt/trusted.gpg.d \
  -o APT::Architecture="$arch" -o APT::Architectures::="$arch" -o APT::Install-Recommends="$recommends" \
  -o Acquire::Languages=none -o APT::Sandbox::User=root -o Debug::NoLocking=1 -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null -- "$@"
options=""
while [ "$1" != "--" ]; do options="$options $1"; shift; done
shift
# shellcheck disable=SC2086
[ -e "$state/updated" ] || { apt-get $options update >"$state/update.log" 2>&1 || { cat "$state/update.log" >&2; exit 1; }; touch "$state/updated"; }
# shellcheck disable=SC2086
apt-get $options -y -s install "$@" >"$state/solve.log" 2>&1 || { cat "$state/solve.log" >&2; exit 100; }
sed -n 's/^Inst \([^ ]*\) \(\[[^]]*\] \)\{0,1\}(\([^ ]*\) .*/\1=\3/p' "$state/solve.log" | sed 's/:[a-z0-9]*=/=/' | sort
