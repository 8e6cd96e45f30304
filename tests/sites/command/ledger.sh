#!/bin/sh
# A small replicated thing: a file of numbered rows at each of two sites. The primary appends to its own, the
# standby copies that of the primary. Called: ledger.sh BASE SITE WORD [ARGUMENT]
set -eu
base=$1 site=$2 word=$3 argument=${4:-}
here=$base/$site
has() { [ -e "$here/$1" ]; }
size() { wc -c <"$1/rows" | tr -d ' '; }
new_history() { cut -c 1-8 /proc/sys/kernel/random/uuid; }
put() { printf '%s\n' "$2" >"$here/$1.new" && mv "$here/$1.new" "$here/$1"; }

# What the primary's history went on from ours: FORK is how much of it both have.
fork_with() {
    fork=0
    ours=$(cat "$here/history")
    [ "$ours" != "$(cat "$1/history")" ] || { fork=$(size "$here") && return; }
    while read -r name at; do [ "$name" != "$ours" ] || fork=$at; done <"$1/descent"
}

copy() {
    cp "$1/rows" "$here/rows.new" && mv "$here/rows.new" "$here/rows"
    cp "$1/descent" "$here/descent"
    put history "$(cat "$1/history")"
}

case $word in
look)
    if ! has running; then
        printf 'role: down\nreason: it does not run\nhistory: %s\noffset: %s\n' "$(cat "$here/history")" "$(size "$here")"
        exit
    fi
    role=$(cat "$here/role")
    printf 'role: %s\nsystem-id: %s\nhistory: %s\n' "$role" "$(cat "$here/id")" "$(cat "$here/history")"
    if has open; then echo 'writable: yes'; else echo 'writable: no'; fi
    offset=$(size "$here")
    echo "offset: $offset"
    [ "$role" = standby ] || exit 0
    echo "replayed: $offset"
    if has source && [ -e "$base/$(cat "$here/source")/open" ]; then echo 'streaming: yes'; else echo 'streaming: no'; fi
    ;;
follow) # the copying itself: until it stands still, or is a primary
    while has running && [ "$(cat "$here/role")" = standby ]; do
        from=$base/$(cat "$here/source")
        if [ -e "$from/history" ] && [ "$(cat "$from/role")" != standby ]; then
            : >"$here/copying"
            [ "$(cat "$here/role")" != standby ] || copy "$from"
            rm -f "$here/copying"
        fi
        sleep 0.05
    done
    ;;
close)
    has running || { has clean && exit 0 || { echo 'it was not stopped in order' >&2 && exit 1; }; }
    rm -f "$here/open"
    : >"$here/clean"
    ;;
fence)
    rm -f "$here/open" "$here/running" "$here/clean"
    ;;
promote)
    has running || { echo 'it does not run' >&2 && exit 1; }
    put role primary
    tries=0 # a copy that is under way would bring the old history back
    while has copying && [ "$tries" -lt 100 ]; do
        tries=$((tries + 1))
        sleep 0.02
    done
    echo "$(cat "$here/history") $(size "$here")" >>"$here/descent"
    put history "$(new_history)"
    rm -f "$here/source"
    : >"$here/open"
    ;;
start)
    put role "$argument"
    : >"$here/running"
    rm -f "$here/clean"
    [ "$argument" != primary ] || : >"$here/open"
    ;;
rejoin)
    from=$base/$argument
    fork_with "$from"
    divergent=$(($(size "$here") - fork))
    if [ "$divergent" -gt 0 ]; then
        saved=$here/divergent-$(new_history)
        tail -c "$divergent" "$here/rows" >"$saved"
        printf 'method: rewind\ndivergent: %s\nsaved-at: %s\n' "$divergent" "$saved"
    else
        printf 'method: follow\ndivergent: 0\n'
    fi
    put role standby
    put source "$argument"
    : >"$here/running"
    copy "$from"
    ;;
rebuild)
    put role standby
    put source "$argument"
    mv "$here/rows" "$here/rows.set-aside"
    : >"$here/running"
    copy "$base/$argument"
    printf 'method: rebuild\ndivergent: 0\n'
    ;;
*) echo "no word $word" >&2 && exit 2 ;;
esac
