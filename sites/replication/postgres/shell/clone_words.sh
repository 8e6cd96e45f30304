# Where the copy is reached: a folder that only its own user can enter. Paths of sockets must be short, so it does
# not lie beside the data.
socket=/tmp/twinsite-drill-$(id -u)-$(printf '%s' "$data" | cksum | cut -d ' ' -f 1)

need_copy() {
    [ -e "$beside/drill" ] && [ -f "$data/drill.conf" ] || die 66 "there is no copy in $data"
    need_own
}

ask_copy() {
    "$bin/psql" -X -A -t -q -v ON_ERROR_STOP=1 -h "$socket" -p 5432 -U "$user" -d "$1" -c "$2" 2>&1
}
