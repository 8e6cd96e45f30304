# P19: where a guard runs, it alone permits opening, and its permit ends by itself: centiseconds since boot, and
# which boot. Given: permit (its file), service, site. Waited for a moment, as the guard opens a little late.
twinsite_now() {
    read -r twinsite_up twinsite_rest </proc/uptime
    twinsite_now=${twinsite_up%.*}${twinsite_up#*.}
}
twinsite_permitted() {
    twinsite_until='' twinsite_boot='' twinsite_this=''
    { read -r twinsite_until twinsite_boot twinsite_rest <"$twinsite_permit"; } 2>/dev/null
    { read -r twinsite_this </proc/sys/kernel/random/boot_id; } 2>/dev/null
    [ -n "$twinsite_this" ] && [ "$twinsite_boot" = "$twinsite_this" ] || return 1
    case $twinsite_until in
    manual) return 0 ;;
    '' | *[!0-9]*) return 1 ;;
    esac
    twinsite_now
    [ "$twinsite_now" -lt "$twinsite_until" ]
}
twinsite_now
twinsite_wait=$((twinsite_now + 300))
until twinsite_permitted; do
    twinsite_now
    [ "$twinsite_now" -lt "$twinsite_wait" ] || {
        echo "the guard does not permit opening now ($twinsite_permit): no answer of its controller allows it, or it does not run" >&2
        exit 75
    }
    sleep 0.05
done
