#!/bin/sh
# Draw the films in in/ overnight, on two servers: check both, then draw, and go on after failures.
#
#     SERVERS="http://gpu1:8188 http://gpu2:8188" nohup sh examples/night.sh --model anime.json &
#
# The options are for all films. What happens is in out/night.log. Where both servers are gone for
# an hour, or slides have failed, it begins again after PAUSE seconds, up to TRIES times: nothing
# that is finished is drawn twice.
set -eu

mkdir -p out
log=out/night.log
for server in ${SERVERS:-http://gpu1:8188 http://gpu2:8188}; do
    set -- --backend "$server" "$@"
done
if ! video-restyle --check "$@" > "$log" 2>&1; then
    cat "$log" >&2
    exit 4
fi
for try in $(seq "${TRIES:-5}"); do
    code=0
    echo "Try $try." >> "$log"
    sh "$(dirname "$0")/shelf.sh" --patience 60 "$@" >> "$log" 2>&1 || code=$?
    case $code in
    1 | 4) sleep "${PAUSE:-600}" ;;
    *) break ;;
    esac
done
tail -n 5 "$log"
exit "$code"
