# What this log has beyond a fork, record by record. Given: legs ("timeline:from:to timeline:from:"), most
# (bytes of the listing; the counts are of everything). Changes nothing but its own listing.
need_data
need_beside
listing=$beside/divergent.txt
: >"$listing" || die 73 "$listing cannot be written"
if [ ! -x "$bin/pg_waldump" ]; then
    say tool no
    exit 0
fi
say tool yes
for leg in $legs; do
    timeline=${leg%%:*} rest=${leg#*:}
    from=${rest%%:*} to=${rest#*:}
    # It ends with an error where the log ends, which is not one. Times in UTC: no hour of them is there twice.
    TZ=UTC "$bin/pg_waldump" -p "$data/pg_wal" -t "$timeline" -s "$from" ${to:+-e "$to"} 2>/dev/null |
        awk -v timeline="$timeline" -v most="$most" -v listing="$listing" '
            $1 != "rmgr:" { next }
            {
                records++
                if (size < most) { print >>listing; size += length($0) + 1 }
                if ($2 == "Transaction" && / desc: COMMIT/) {
                    commits++
                    # desc: COMMIT 2026-03-29 02:30:00.123456 UTC; ...
                    if (match($0, /[0-9]+-[0-9]+-[0-9]+ [0-9]+:[0-9]+:[0-9.]+/)) {
                        newest = substr($0, RSTART, RLENGTH)
                        if (oldest == "") oldest = newest
                    }
                }
                if (match($0, /, lsn: [0-9A-F]+\/[0-9A-F]+/)) last = substr($0, RSTART + 7, RLENGTH - 7)
                if (match($0, /\(rec\/tot\): +[0-9]+\/ *[0-9]+/)) {
                    total = substr($0, RSTART, RLENGTH)
                    sub(/.*\/ */, "", total)
                }
            }
            END {
                printf "leg=%s:%d:%d:%s:%d\n", timeline, records, commits, last, total
                printf "when=%s|%s\n", oldest, newest
            }'
done
