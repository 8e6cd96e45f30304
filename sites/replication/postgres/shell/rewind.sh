# Bring a stopped server that parted from the primary back onto its line. Standard input: a password file.
# Given: source (connection string), system_id, auto. What only this server has is saved already.
need_data
need_tool pg_rewind
lock
[ ! -e "$beside/rewinding" ] || die 65 "an earlier rewind of $data was interrupted; it needs a full copy"
if postmaster || [ -n "$(pids)" ]; then die 75 "the server in $data runs"; fi
need_same_cluster
say host "$(uname -n)"
keep_passwords
keep_settings
case $(control) in
*"cluster state:"*"shut down"*) ;;
*)
    # It crashed. Recovered by itself first, never listening; single-user mode refuses to be a standby, so
    # the signal goes for that moment.
    trap put_signal EXIT
    trap 'exit 70' HUP INT TERM
    rm -f -- "$data/standby.signal"
    forget_the_dead
    "$bin/postgres" --single -D "$data" ${config:+-c "config_file=$config"} template1 </dev/null >>"$log" 2>&1 9>&- ||
        die 70 "the crashed server in $data could not be recovered: $(last_words)"
    put_signal
    say recovered yes
    ;;
esac
: >"$beside/rewinding" || die 73 "$beside/rewinding cannot be written"
"$bin/pg_rewind" --target-pgdata="$data" --source-server="$source" --no-ensure-shutdown >"$beside/rewind.txt" 2>&1
result=$?
if [ "$result" -ne 0 ]; then
    # It changes nothing before it has found where the servers parted.
    grep -q 'servers diverged' "$beside/rewind.txt" || rm -f -- "$beside/rewinding"
    die 70 "pg_rewind: $(tail -n 3 -- "$beside/rewind.txt" | tr '\n' ' ')"
fi
put_settings_into "$data"
put_standby_into "$data"
rm -f -- "$beside/rewinding"
grep -q 'no rewind required' "$beside/rewind.txt" && say needless yes
say rewound yes
