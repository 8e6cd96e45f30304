# Make the data directory of a stopped server a standby's. Standard input: a password file.
# Given: auto (lines for postgresql.auto.conf), system_id, task (follow; rewind and rebuild use only the words).
keep_passwords() {
    need_beside
    cat >"$beside/pgpass.new" && chmod 600 -- "$beside/pgpass.new" &&
        mv -- "$beside/pgpass.new" "$beside/pgpass" || die 73 "$beside/pgpass cannot be written"
    PGPASSFILE=$beside/pgpass
    export PGPASSFILE
}

# What belongs to this server and not to the one it is copied from: addresses, ports, certificates.
keep_settings() {
    rm -rf -- "$beside/settings.new"
    mkdir -- "$beside/settings.new" || die 73 "$beside/settings.new cannot be made"
    for file in "$data"/*.conf "$data"/*.key "$data"/*.crt "$data"/*.pem "$data"/*.crl "$data/conf.d"; do
        [ -e "$file" ] || continue
        cp -Rp -- "$file" "$beside/settings.new/" || die 73 "$file could not be kept"
    done
    rm -rf -- "$beside/settings"
    mv -- "$beside/settings.new" "$beside/settings"
}

put_settings_into() {
    for file in "$beside/settings"/*; do
        [ -e "$file" ] || continue
        rm -rf -- "$1/${file##*/}"
        cp -Rp -- "$file" "$1/" || die 73 "${file##*/} could not be put back"
    done
}

put_standby_into() {
    auto_conf=$1/postgresql.auto.conf
    {
        [ ! -f "$auto_conf" ] ||
            grep -viE '^[[:space:]]*(primary_conninfo|primary_slot_name)[[:space:]=]' "$auto_conf"
        printf '%s\n' "$auto"
    } >"$auto_conf.twinsite" && mv -- "$auto_conf.twinsite" "$auto_conf" || die 73 "$auto_conf cannot be written"
    : >"$1/standby.signal" || die 73 "$1/standby.signal cannot be written"
    to_disk "$auto_conf" "$1/standby.signal" "$1"
}

if [ "$task" = follow ]; then
    need_data
    lock
    need_same_cluster
    [ ! -e "$beside/rewinding" ] || die 65 "an earlier rewind of $data was interrupted; it needs a full copy"
    if postmaster; then die 75 "the server in $data runs"; fi
    keep_passwords
    put_standby_into "$data"
    say configured yes
fi
