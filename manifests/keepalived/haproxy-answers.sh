#!/bin/bash
# keepalived asks every second: does haproxy on this host answer? Its status page is haproxy's own, so no server of the
# cluster takes part.
exec 3<>/dev/tcp/127.0.0.1/@PORT@ || exit 1
printf 'GET / HTTP/1.0\r\n\r\n' >&3
read -r -t 2 _ code _ <&3
[ "$code" = 200 ]
