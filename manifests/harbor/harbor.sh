# Starts Harbor in the right order and keeps it running: airgap-harbor.service and airgap call it.
#   sh harbor.sh COMMAND FOLDER
# COMMAND: up, watch, stop, down, state, ill, images.
# Docker starts all containers of a machine at once. Those that log to harbor-log's port before it is open end with "connection
# refused" and are not started again, and nginx keeps the addresses that others had when it started.
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
umask 022
cd "$2" || exit 1
[ -s docker-compose.yml ] || {
	echo "$2 has no docker-compose.yml: Harbor is not prepared" >&2
	exit 1
}

compose() {
	if docker compose version >/dev/null 2>&1; then
		docker compose "$@" </dev/null
	else
		docker-compose "$@" </dev/null
	fi
}

# The names of the containers, one a line; they are fixed.
names() { sed -n 's/^ *container_name: *//p' docker-compose.yml | tr -d "\"'"; }

images() { sed -n 's/^ *image: *//p' docker-compose.yml | tr -d "\"'"; }

# NAME STATUS HEALTH STARTED of each container, one a line.
state() {
	for name in $(names); do
		docker inspect -f '{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}} {{.State.StartedAt}}' "$name" 2>/dev/null |
			sed "s/^/$name /" | grep . || echo "$name missing none -"
	done
}

# Containers that do not run, or are not healthy; those that have just started are not healthy yet.
ill() { state | awk '$2 != "running" || ($3 != "healthy" && $3 != "none") { print $1, $2, $3 }'; }

down_ones() { state | awk '$2 != "running" && $2 != "restarting" { print $1 }'; }

# Something listens on harbor-log's port.
log_is_open() { timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/1514' 2>/dev/null; }

# nginx finds the others by name only when it starts, and containers change their addresses.
renew_proxy() {
	stale=$(state | awk '
		$1 == "nginx" { proxy = $4 }
		$1 == "harbor-core" || $1 == "harbor-portal" { if ($4 > newest) newest = $4 }
		END { if (proxy != "" && proxy != "-" && proxy < newest) print "yes" }')
	[ -z "$stale" ] || docker restart nginx
}

up() {
	compose up -d log || return 1
	tries=60
	until log_is_open; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || {
			echo 'harbor-log does not open port 1514' >&2
			return 1
		}
		sleep 1
	done
	compose up -d || return 1
	renew_proxy
}

# Docker may still be busy with a container that it was told to restart; then its network can't go yet.
down() {
	tries=5
	until compose down --remove-orphans; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 3
	done
}

# Does not end by itself: systemd would stop all containers then.
watch() {
	until up; do sleep 10; done
	while sleep 15; do
		# While Docker itself is away there is nothing to be done.
		docker info >/dev/null 2>&1 || continue
		if [ -n "$(down_ones)" ]; then up; else renew_proxy; fi
	done
}

case $1 in
up) up ;;
watch) watch ;;
stop) compose stop ;;
down) down ;;
state) state ;;
ill) ill ;;
images) images ;;
*) exit 2 ;;
esac
