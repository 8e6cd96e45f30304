# End whatever works on the copy, and remove all of it. Given: data. Nothing that is not ours is touched.
ended=0
if [ -e "$data" ] || [ -e "$beside" ]; then
    [ ! -L "$data" ] && { [ -e "$beside/drill" ] || [ ! -e "$data" ]; } || die 75 "$data is in the way and is not ours"
    copying=
    { read -r copying <"$beside/copying"; } 2>/dev/null
    case $copying in
    '' | *[!0-9]*) ;;
    *)
        # Only if it still is what we started: the number may be somebody else's by now.
        if grep -qs pg_basebackup "/proc/$copying/comm"; then
            kill -TERM "$copying" 2>/dev/null && ended=$((ended + 1))
            now
            end=$((now + 500))
            while grep -qs pg_basebackup "/proc/$copying/comm"; do
                now
                [ "$now" -lt "$end" ] || { kill -KILL "$copying" 2>/dev/null; break; }
                sleep 0.02
            done
        fi
        ;;
    esac
    running=$(pids)
    ended=$((ended + $(printf '%s' "$running" | wc -w)))
    cut_off 1000 || die 70 "these processes of the copy are still there: $(pids | tr '\n' ' ')"
    rm -rf -- "$data" "$beside" 2>/dev/null
    # A copy that was cut short may have written once more.
    [ ! -e "$data" ] && [ ! -e "$beside" ] || { sleep 0.2; rm -rf -- "$data" "$beside"; }
fi
if [ -d "$socket" ] && [ ! -L "$socket" ] && [ -O "$socket" ]; then rm -rf -- "$socket"; fi
for left in "$data" "$beside" "$socket"; do
    [ ! -e "$left" ] || die 70 "$left could not be removed"
done
say ended "$ended"
