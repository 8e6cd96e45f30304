# Start the copy: a standby of nobody, until it has replayed what it needs to be whole. Given: data, within.
need_copy
lock
if postmaster; then
    say socket "$socket"
    exit 0
fi
forget_the_dead
mkdir -m 700 -- "$socket" 2>/dev/null
[ -d "$socket" ] && [ ! -L "$socket" ] && [ -O "$socket" ] || die 75 "$socket is in the way and is not ours"
chmod 700 -- "$socket" || die 73 "$socket cannot be closed to others"
{
    grep -v '^# where$' "$data/drill.conf" | grep -vE '^(unix_socket_directories|port|hba_file|ident_file|data_directory) '
    printf '%s\n' '# where' "unix_socket_directories = '$socket'" 'port = 5432' \
        "hba_file = 'drill_hba.conf'" "ident_file = 'drill_ident.conf'"
} >"$data/drill.conf.new" && mv -- "$data/drill.conf.new" "$data/drill.conf" || die 73 "$data/drill.conf cannot be written"
cd -- "$data" || exit 66
launch
wait_up "$within"
say socket "$socket"
