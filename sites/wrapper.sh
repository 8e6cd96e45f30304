# Starts one step's command on a host, if its token allows; keeps what came of it (rule P26).
#
# Sent whole with every step, so nothing is installed on the host. POSIX shell: dash, bash, busybox and ksh
# run it. Whole-line comments are taken out before it is sent (sites/wrapper.py, which also quotes).
#
# Four processes:  enter -> supervisor -> command     each in a session of its own, so that neither the loss
#                                `-> watchdog          of the connection nor of its shell ends the step early
#
# In $folder (one per service):  token     the highest "epoch run executor" that asked anything here
#                                past      runs that a later run has followed; none of them starts anything more
#                                records/  RUN@STEP: how a step was started, and how it ended
#                                lock      held from the comparison until the started command is on record
#
# A refusal is the line "twinsite-step: refused CODE: words" on stderr and status 75: nothing was started.

verb=$1 folder=$2/$3 service=$3 epoch=$4 run=$5 executor=$6 step=$7 attempt=$8
shift 8
case $folder in "~/"*) folder=$HOME/${folder#"~/"} ;; esac
record=$folder/records/$run@$step
boot=-
[ -r /proc/sys/kernel/random/boot_id ] && read -r boot < /proc/sys/kernel/random/boot_id

say() { printf 'twinsite-step: %s\n' "$*" >&2; }

refuse() {
  code=$1
  shift
  say "refused $code: $*"
  unlock
  exit 75
}

# Become "$@" in a session and process group of its own. Call it in a subshell: the leader of a group cannot.
in_own_session() {
  command -v setsid > /dev/null 2>&1 && exec setsid "$@"
  command -v perl > /dev/null 2>&1 && exec perl -e 'use POSIX; POSIX::setsid(); exec @ARGV; exit 127' "$@"
  refuse no-setsid "neither setsid nor perl is on this host, so a step could not be ended; install util-linux"
}

# mark=: what tells process $1 from a later one of the same number; empty when it does not run.
find_mark() {
  mark=
  if [ -r /proc/self/stat ]; then
    { read -r mark < "/proc/$1/stat"; } 2> /dev/null || return 0
    set -- ${mark##*) }
    case $1 in
      [ZX]) mark= ;;
      *) shift 19; mark=$1 ;;
    esac
  elif kill -0 "$1" 2> /dev/null; then
    mark=$(ps -o lstart= -p "$1" 2> /dev/null | tr -s ' ' _)
    mark=${mark:-unknown}
  fi
}

# Does process $1 with mark $2 of boot $3 run?
runs() {
  [ "$3" = "$boot" ] || return 1
  find_mark "$1"
  [ -n "$mark" ] && [ "$mark" = "$2" ]
}

nap() { sleep 0.1 2> /dev/null || { sleep 1; turns=$((turns + 9)); }; }

wait_turn() {
  turns=$((turns + 1))
  [ "$turns" -le 100 ] || refuse lock-busy "another step has held $folder/lock for 10 s; see who does, then remove it"
  nap
}

lock() {
  turns=0
  # Closed to others as a whole, so that the command's own umask need not be touched.
  [ -d "$folder/records" ] || (umask 077; mkdir -p "$folder/records") 2> /dev/null
  true 2> /dev/null >> "$folder/lock" ||
    refuse folder-unwritable "cannot write in $folder; create it for this user"
  if command -v flock > /dev/null 2>&1; then
    exec 9>> "$folder/lock"
    until flock -n 9; do wait_turn; done
    return
  fi
  until mkdir "$folder/lock.d" 2> /dev/null; do
    break_stale_lock
    wait_turn
  done
  find_mark $$
  printf '%s %s %s\n' $$ "$mark" "$boot" > "$folder/lock.d/owner"
}

lock_is_stale() {
  { read -r pid born when < "$folder/lock.d/owner"; } 2> /dev/null || [ "$turns" -gt 50 ] || return 1
  ! runs "${pid:-0}" "$born" "$when"
}

# Only the one who holds lock.breaking removes a dead owner's lock, and looks again first: otherwise two
# might each find it stale, and the second would remove the first one's fresh lock.
break_stale_lock() {
  lock_is_stale && mkdir "$folder/lock.breaking" 2> /dev/null || return 0
  lock_is_stale && rm -rf "$folder/lock.d"
  rmdir "$folder/lock.breaking"
}

unlock() {
  exec 9>&-
  { read -r pid rest < "$folder/lock.d/owner"; } 2> /dev/null && [ "$pid" = "$supervisor" ] &&
    rm -rf "$folder/lock.d"
  return 0
}

is_past() {
  [ -r "$folder/past" ] || return 1
  while read -r one; do [ "$one" = "$run" ] && return 0; done < "$folder/past"
  return 1
}

# Under the lock: refuse whoever was overtaken, and from now on everybody whom this token overtakes.
claim() {
  held_epoch=0 held_run= held_executor=0
  [ -s "$folder/token" ] && read -r held_epoch held_run held_executor < "$folder/token"
  case ${held_epoch:-x}${held_executor:-x} in
    *[!0-9]*) refuse token-unreadable "$folder/token is damaged; remove it once no step runs here" ;;
  esac
  [ "$epoch" -ge "$held_epoch" ] ||
    refuse older-epoch "epoch $epoch of run $run; epoch $held_epoch of run $held_run has been here"
  if [ "$run" = "$held_run" ]; then
    [ "$executor" -ge "$held_executor" ] ||
      refuse older-executor "executor $executor of run $run; executor $held_executor has taken the run over"
    [ "$epoch $executor" = "$held_epoch $held_executor" ] && return
  else
    is_past && refuse older-run "run $run; run $held_run has followed it here"
    # First the list, then the token: a crash between the two bars nobody wrongly and lets nobody in.
    [ -n "$held_run" ] && remember_past
    forget_old_records
  fi
  printf '%s %s %s\n' "$epoch" "$run" "$executor" > "$folder/token.new" &&
    mv -f "$folder/token.new" "$folder/token" ||
    refuse folder-unwritable "cannot write $folder/token; is the disk full?"
}

remember_past() {
  { tail -n 199 "$folder/past" 2> /dev/null; printf '%s\n' "$held_run"; } > "$folder/past.new" &&
    mv -f "$folder/past.new" "$folder/past" ||
    refuse folder-unwritable "cannot write $folder/past; is the disk full?"
}

# A bound on the disk: of earlier runs' records the newest 256 stay.
forget_old_records() {
  set -- "$folder/records/"*
  [ $# -gt 300 ] || return 0
  ls -t "$folder/records" | tail -n +257 | while read -r one; do
    case $one in "$run@"*) ;; *) rm -f "$folder/records/$one" ;; esac
  done
}

# The record's first line, and its second, into variables of their own. Fails where there is no record.
read_record() {
  r_word= r_executor=0 r_attempt=0 r_supervisor= r_born= r_pid= r_mark= r_boot= r_end= r_status=
  [ -e "$record" ] || return 1
  {
    read -r r_word r_executor r_attempt r_supervisor r_born r_pid r_mark r_boot
    read -r r_end r_status
  } < "$record"
  return 0
}

still_runs() {
  [ "$r_end" != done ] && [ -n "$r_pid" ] || return 1
  runs "$r_supervisor" "$r_born" "$r_boot" || runs "$r_pid" "$r_mark" "$r_boot"
}

# Under the lock: the same step never runs twice at once, and a numbered attempt never starts twice.
check_step() {
  read_record || return 0
  still_runs && refuse already-running "step $step of run $run runs here as process $r_pid"
  [ "$attempt" -eq 0 ] || [ "$r_executor" -lt "$executor" ] || [ "$r_attempt" -lt "$attempt" ] ||
    refuse already-started "attempt $attempt of step $step of run $run; attempt $r_attempt was started before"
}

# In a subshell of the supervisor: at the time limit, end the command's whole group.
watch() {
  trap 'kill $! 2> /dev/null; exit 0' TERM
  sleep "$limit" &
  wait $!
  case $? in
    0) ;;
    *) sleep "$whole_limit" & wait $! ;;  # a sleep that knows whole seconds only
  esac
  trap '' TERM
  turns=0
  # A command that waited for the lock until now may be about to start: it has had its time too.
  until read_record 2> /dev/null && [ "$r_supervisor $r_born" = "$supervisor $own_mark" ]; do
    turns=$((turns + 1))
    [ "$turns" -le 120 ] || exit 0
    nap
  done
  kill -TERM "-$r_pid" 2> /dev/null || exit 0
  turns=0
  while kill -0 "-$r_pid" 2> /dev/null && [ "$turns" -lt "$grace" ]; do
    turns=$((turns + 1))
    nap
  done
  kill -KILL "-$r_pid" 2> /dev/null
  exit 99
}

supervise() {
  limit=$1 whole_limit=$2 grace=$3 command=$4
  find_mark $$
  own_mark=$mark
  # Before anything is caught here: a shell that has just forked still has its parent's traps for a moment, and
  # a TERM that came to the watchdog then would be lost, and it would watch over nothing until the time limit.
  (watch) < /dev/null > /dev/null 2>&1 &
  watchdog=$!
  # Caught, not ignored: the command gets the usual treatment of signals back, and this shell lives on to
  # record how the command ended even when nobody reads what it says any more.
  trap : HUP INT TERM PIPE
  # Shells announce a child's death by signal on stderr, some of them late: not among the step's own words.
  exec 4>&2 2> /dev/null
  # In the foreground: a command in the background would have its input closed and interrupts ignored.
  (
    exec 2>&4 4>&-
    lock
    claim
    check_step
    in_own_session sh -c 'eval "$twinsite_step"' twinsite-step command \
      "${folder%/*}" "$service" "$epoch" "$run" "$executor" "$step" "$attempt" \
      "$supervisor" "$own_mark" "$command"
  )
  status=$?
  kill -TERM "$watchdog" 2> /dev/null
  wait "$watchdog"
  late=$?
  while [ "$late" -gt 128 ] && kill -0 "$watchdog" 2> /dev/null; do
    wait "$watchdog"
    late=$?
  done
  [ "$late" -eq 99 ] && status=124
  if read_record && [ "$r_supervisor $r_born" = "$supervisor $own_mark" ]; then
    printf 'done %s\n' "$status" >> "$record"
    [ "$late" -eq 99 ] && say "timed-out: step $step of run $run was ended with all it had started" 2>&4
  fi
  exit "$status"
}

# Already in its own session, still under the lock: on record first, on disk even if the host dies now, and
# only then started. Otherwise a step that did start could later be taken for one that never did.
become_command() {
  supervisor=$1 own_mark=$2 command=$3
  find_mark $$
  line="started $executor $attempt $supervisor $own_mark $$ $mark $boot"
  printf '%s\n' "$line" | dd of="$record" conv=fsync 2> /dev/null || printf '%s\n' "$line" > "$record" ||
    refuse folder-unwritable "cannot write $record; is the disk full?"
  unlock
  unset twinsite_step
  exec sh -c "$command"
}

show_status() {
  lock
  claim
  if ! read_record; then
    echo "never started"
  elif [ -z "$r_pid" ]; then
    echo lost
  elif [ "$attempt" -gt 0 ] && [ "$r_executor" -eq "$executor" ] && [ "$r_attempt" -lt "$attempt" ]; then
    echo "never started"
  elif [ "$r_end" = done ] && [ -n "$r_status" ]; then
    echo "done $r_status"
  elif still_runs; then
    echo running
  else
    echo lost
  fi
  unlock
  exit 0
}

supervisor=$$
case $verb in
  enter)
    (in_own_session sh -c 'eval "$twinsite_step"' twinsite-step supervise \
      "${folder%/*}" "$service" "$epoch" "$run" "$executor" "$step" "$attempt" "$@")
    exit $?
    ;;
  supervise) supervise "$@" ;;
  command) become_command "$@" ;;
  status) show_status ;;
esac
