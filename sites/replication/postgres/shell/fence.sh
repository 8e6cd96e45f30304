# Cut client writes off at once. Given: within (centiseconds), mark (a word nobody used before).
# A full disk or a missing directory must not keep it from its work, so nothing here is needed but kill.
had=$(pids)
# A start of ours that is under way finds this and stops what it started.
{ mkdir -p -- "$beside" && printf '%s\n' "$mark" >"$beside/fenced"; } 2>/dev/null
cut_off "$within"
{ [ -z "$real" ] || [ -e "$data/standby.signal" ] || : >"$data/standby.signal"; } 2>/dev/null
say had "$(printf '%s' "$had" | wc -w)"
say left "$(pids | tr '\n' ' ')"
say directory "${real:+yes}"
[ -z "$real" ] || [ -O "$data" ] || [ "$(id -u)" = 0 ] || say foreign "$(stat -c %U -- "$data")"
exit 0
