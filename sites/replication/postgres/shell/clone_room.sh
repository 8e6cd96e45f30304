# Is there room for a copy of the standby, and will enough be left? Given: data (where the copy goes), standby.
# Changes nothing. Production lives on: a twentieth of the file system must stay free whatever the copy takes.
for tool in pg_basebackup postgres psql; do need_tool "$tool"; done
room() {
    parent=${data%/*}
    [ -d "${parent:-/}" ] || die 66 "there is no directory ${parent:-/} for the copy"
    [ -w "${parent:-/}" ] || die 73 "${parent:-/}, where the copy would go, cannot be written to by $(id -un)"
    needed=$(du -sk -- "$standby" 2>/dev/null | cut -f1)
    [ -n "$needed" ] || die 70 "the size of $standby cannot be told"
    needed=$((needed / 1024 * 11 / 10 + 64))
    # What an earlier drill left is removed first, so it counts as free.
    old=0
    if [ -e "$data" ]; then old=$(du -sk -- "$data" 2>/dev/null | cut -f1); fi
    set -- $(df -Pk -- "${parent:-/}" | awk 'NR == 2 { print $2, $4 }')
    reserve=$(($1 / 1024 / 20))
    free=$((($2 + ${old:-0}) / 1024))
    [ "$free" -ge "$((needed + reserve))" ] ||
        die 73 "no room for a copy in ${parent:-/}: it takes up to $needed MiB, $free MiB are free, and $reserve MiB of them must stay for production; make room, or name another place as \`drill\` of the instance. Nothing was done"
}
if [ "$task" = clone_room ]; then
    room
    say needed "$needed"
    say free "$free"
    say reserve "$reserve"
fi
