# A full copy of the primary in place of what is here; that is set aside, never deleted. Standard input: a
# password file. Given: source, system_id, auto, rate (KiB a second, or empty), needed (MiB, or empty).
need_tool pg_basebackup

# Whose data are these, and does nobody write to them? Looked at before the copy, and again right before anything
# is put in its place: a copy takes hours, its controller may be gone, and somebody may have promoted this one.
need_target() {
    [ -f "$data/PG_VERSION" ] || return 0
    need_same_cluster
    if postmaster && [ "$(control | sed -n 's/^Database cluster state:[[:space:]]*//p')" = "in production" ]; then
        [ ! -e "$beside/rebuilding" ] || rm -rf -- "$fresh" "$beside/rebuilding"
        die 75 "$data on $(uname -n) is of a running primary, which accepts writes; nothing was touched"
    fi
}

lock
say host "$(uname -n)"
[ ! -L "$data" ] || die 65 "$data is a symbolic link; name the directory itself as data in the estate file"
fresh=$data.rebuilding
if [ -n "$real" ]; then
    need_own
    [ "$(stat -c %d -- "$data")" = "$(stat -c %d -- "$data/..")" ] ||
        die 65 "$data is a mount point and cannot be set aside; use a directory beneath it"
    if [ -f "$data/PG_VERSION" ]; then
        need_target
    elif [ -n "$(ls -A -- "$data")" ]; then
        die 65 "$data holds something that is not PostgreSQL's"
    fi
fi
if [ -e "$fresh" ]; then
    [ -e "$beside/rebuilding" ] || die 75 "$fresh is in the way and is not ours"
    rm -rf -- "$fresh"
fi
# The old data stay beside the new ones, so there must be room for both.
if [ -n "$needed" ]; then
    free=$(($(df -Pk -- "${data%/*}/" | awk 'NR == 2 { print $4 }') / 1024))
    [ "$free" -ge "$needed" ] ||
        die 73 "no room for a full copy beside $data: it takes up to $needed MiB, and $free MiB are free; make room. Nothing was changed"
fi
keep_passwords
# An interrupted rewind has kept the settings, and has perhaps overwritten those in the directory.
if [ -f "$data/PG_VERSION" ] && ! { [ -e "$beside/rewinding" ] && [ -d "$beside/settings" ]; }; then
    keep_settings
fi
: >"$beside/rebuilding" || die 73 "$beside/rebuilding cannot be written"
"$bin/pg_basebackup" -D "$fresh" -d "$source" -w -X stream -c fast ${rate:+-r "$rate"} >"$beside/rebuild.txt" 2>&1 || {
    rm -rf -- "$fresh" "$beside/rebuilding"
    die 70 "pg_basebackup: $(tail -n 3 -- "$beside/rebuild.txt" | tr '\n' ' ')"
}
put_settings_into "$fresh"
put_standby_into "$fresh"
need_target
if [ -n "$real" ]; then
    if postmaster; then stop_fast 1000; fi
    cut_off 500 || die 70 "these processes of $data are still there: $(pids | tr '\n' ' ')"
    forget_the_dead
    if [ -n "$(ls -A -- "$data")" ]; then
        aside=$data.set-aside-$service-$site-$(date -u +%Y%m%dT%H%M%SZ)
        mv -- "$data" "$aside" || die 70 "$data could not be set aside"
        say aside "$aside"
    else
        rmdir -- "$data"
    fi
fi
mv -- "$fresh" "$data" || die 70 "$fresh could not be put in place"
rm -f -- "$beside/rebuilding" "$beside/rewinding"
say rebuilt yes
