# Whose data are here, and how far do they go? Changes nothing.
[ -e "$data" ] || { say exists no; exit 0; }
say exists yes
say mark "$(cat -- "$beside/fenced" 2>/dev/null)"
[ -e "$beside/rewinding" ] && say rewinding yes
if postmaster; then say running yes; fi
[ -f "$data/PG_VERSION" ] || { say initialised no; exit 0; }
say version "$(cat "$data/PG_VERSION")"
control
"$bin/pg_controldata" -D "$data" | awk -F: '/TimeLineID|timeline:/ {
    if ($2 + 0 > most) most = $2 + 0
} END { printf "%08X\n", most }' | {
    read -r timeline
    sed 's/^/history=/' "$data/pg_wal/$timeline.history" 2>/dev/null
}
exit 0
