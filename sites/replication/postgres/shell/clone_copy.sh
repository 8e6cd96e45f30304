# A full copy of the standby beside it. Given: data (where it goes), standby, source, rate (KiB a second, or
# empty), settings (lines that make it a thing of its own). Standard input: a password file.
lock
if [ -e "$data" ] || [ -L "$data" ]; then
    [ -d "$data" ] && [ ! -L "$data" ] && [ -e "$beside/drill" ] || die 75 "$data is in the way and is not ours"
    cut_off 1000 || die 70 "these processes of an earlier copy are still there: $(pids | tr '\n' ' ')"
    rm -rf -- "$data" || die 70 "an earlier copy in $data could not be removed"
fi
room
: >"$beside/drill" || die 73 "$beside/drill cannot be written"
keep_passwords
# Production goes first, on this host too.
gently=$(command -v nice >/dev/null && printf 'nice -n 15')
command -v ionice >/dev/null && gently="$gently ionice -c 2 -n 7"
# No slot: the standby keeps no log for us, and nothing of us is left there.
# shellcheck disable=SC2086
$gently "$bin/pg_basebackup" -D "$data" -d "$source" -w -X stream --no-slot -N -c fast ${rate:+-r "$rate"} >"$beside/copy.txt" 2>&1 9>&- &
copying=$!
printf '%s\n' "$copying" >"$beside/copying"
wait "$copying" || {
    rm -f -- "$beside/copying"
    rm -rf -- "$data"
    die 70 "pg_basebackup: $(tail -n 3 -- "$beside/copy.txt" | tr '\n' ' ')"
}
rm -f -- "$beside/copying"
[ -f "$data/backup_label" ] || die 70 "$data is no base backup: it has no backup_label"
# Its settings are ours alone: whatever production's files say of archives, primaries and addresses is gone.
rm -f -- "$data/recovery.signal" "$data/postmaster.pid"
printf '%s\n' '# A drill: see drill.conf' >"$data/postgresql.auto.conf" &&
    printf '%s\n' "$settings" >"$data/drill.conf" &&
    printf '%s\n' 'local all all trust' >"$data/drill_hba.conf" &&
    : >"$data/drill_ident.conf" &&
    : >"$data/standby.signal" || die 73 "the settings of $data cannot be written"
say size "$(($(du -sk -- "$data" | cut -f1) / 1024))"
