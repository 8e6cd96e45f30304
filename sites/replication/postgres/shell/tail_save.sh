# Keep what only this log has. Given: spans ("first-last first-last", names of segments), identity (a line),
# segment_bytes, note (text for the reader). Says where. Done before: says where that was.
need_data
for old in "$data".divergent-*; do
    [ -f "$old/identity" ] || continue
    if [ "$(cat -- "$old/identity")" = "$identity" ]; then
        say saved "$old"
        exit 0
    fi
done
place=$data.divergent-$service-$site-$(date -u +%Y%m%dT%H%M%SZ)
rm -rf -- "$beside/saving"
need_beside
mkdir -- "$beside/saving" || die 73 "$beside/saving cannot be made"
for span in $spans; do
    first=${span%-*} last=${span#*-}
    for file in "$data"/pg_wal/????????????????????????; do
        printf '%s\n' "${file##*/}"
    done | awk -v first="$first" -v last="$last" 'substr($0, 1, 8) == substr(first, 1, 8) &&
        ("x" $0) >= ("x" first) && ("x" $0) <= ("x" last)'
done | sort -u >"$beside/saving/segments"
count=$(wc -l <"$beside/saving/segments")
needed=$((count * (segment_bytes / 1024) + 65536))
room=$(df -Pk -- "$beside" | awk 'NR == 2 { print $4 }')
if [ "$room" -lt "$needed" ]; then
    rm -rf -- "$beside/saving"
    die 73 "no room to save what only $data has: $((needed / 1024)) MiB are needed beside it, $((room / 1024)) MiB are free; make room and try again, nothing was changed"
fi
while IFS= read -r name; do
    cp -p -- "$data/pg_wal/$name" "$beside/saving/$name" || {
        rm -rf -- "$beside/saving"
        die 73 "$data/pg_wal/$name could not be saved; nothing was changed"
    }
done <"$beside/saving/segments"
for file in "$data"/pg_wal/*.history; do
    [ -f "$file" ] && cp -p -- "$file" "$beside/saving/"
done
[ -s "$beside/divergent.txt" ] && mv -- "$beside/divergent.txt" "$beside/saving/records.txt"
printf '%s\n' "$note" >"$beside/saving/README.txt"
printf '%s\n' "$identity" >"$beside/saving/identity"
chmod 700 -- "$beside/saving"
chmod 600 -- "$beside/saving"/*
to_disk "$beside/saving"/* "$beside/saving"
# Whole or not there at all.
mv -- "$beside/saving" "$place" || die 73 "$place cannot be made"
say saved "$place"
