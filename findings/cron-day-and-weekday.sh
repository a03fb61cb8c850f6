#!/bin/bash
# What one would guess: the five fields of a crontab line mean the same everywhere. crontab(5): if day of month and day of week are both
# restricted ("do not contain the * character"), the command runs when either matches, so `0 0 13 * 5` runs on each Friday and each 13th.
#
# What happens at midnight with that line, with `0 0 */2 * 1`, and with `0 0 1-31/2 * 1`, which names the same days:
# - cron 3.0pl1 (Debian 12) takes `*/2` for not restricted and needs both: every Monday with an odd date. With `1-31/2` either is enough:
#   every Monday and every odd date.
# - cron 4.4.0, croner 11.0.1 and cron-parser 5.10.6 of npm: either is enough for each of the three lines.
# - node-cron 4.6.0 of npm and systemd-cron 1.15.19 (Debian 12), which takes the place of cron and reads its files, need both for each:
#   `0 0 13 * 5` runs on Friday the 13th alone, some two times a year. systemd-cron writes `OnCalendar=Fri *-*-13`, in which systemd
#   takes the day of the week as a further restriction (systemd.time(7)).
# So such a job nearly stops when another program reads the same line, without a message.
#
# Needs: bash, npm, Node 20, python3, date, apt-get with Debian 12's packages, unshare. Root: cron runs in namespaces of its own.
set -euo pipefail
self=$(realpath "$0")
cron=3.0pl1-162 systemd_cron=1.15.19-5
if [ "${1-}" != inside ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cd "$work"
  npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work" cron@4.4.0 croner@11.0.1 cron-parser@5.10.6 node-cron@4.6.0 >/dev/null
  apt-get download -q "cron=$cron" "systemd-cron=$systemd_cron" libfaketime libselinux1 libpam0g libaudit1 libcap-ng0 libpcre2-8-0 >/dev/null 2>&1
  for package in *.deb; do dpkg -x "$package" tree; done
  unshare --mount --pid --fork --mount-proc "$self" inside "$work"
  echo "as found: cron $cron, systemd-cron $systemd_cron, node-cron 4.6.0"
  exit
fi
cd "$2"
export TZ=UTC LC_ALL=C
lines=('0 0 13 * 5' '0 0 */2 * 1' '0 0 1-31/2 * 1')
days=(2026-02-05 2026-02-06 2026-02-09 2026-02-13) # a Thursday with an odd date, a Friday, a Monday with an odd date, Friday the 13th
mount -t tmpfs none /var/spool
mount -t tmpfs none /run
# An /etc with what the programs read, and no crontab of this system.
mkdir -p /var/spool/cron/crontabs etc
cp -r /etc/passwd /etc/group /etc/nsswitch.conf /etc/pam.d etc
faketime=$(find "$PWD/tree" -name libfaketime.so.1 -print -quit)
mount --bind etc /etc
# Starts cron two seconds before midnight; the line that runs every minute shows that it has begun the day.
for day in "${days[@]}"; do
  {
    for number in "${!lines[@]}"; do echo "${lines[number]} echo $number >>$PWD/fired"; done
    echo "* * * * * echo minute >>$PWD/fired"
  } >/var/spool/cron/crontabs/root
  chmod 600 /var/spool/cron/crontabs/root
  : >fired
  LD_PRELOAD=$faketime FAKETIME="@$(date -d "$day -2 sec" '+%F %T')" tree/usr/sbin/cron -f -L 0 </dev/null >/dev/null 2>&1 &
  for ((wait = 0; wait < 300; wait++)); do
    grep -q minute fired && break
    sleep 0.1
  done
  sleep 1 # all lines of a minute start together
  kill $!
  wait $! || true
  grep -q minute fired
  for number in "${!lines[@]}"; do ! grep -qx "$number" fired || echo "$day" >>"cron.$number"; done
done
cat >run.mjs <<'JS'
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { CronTime } from 'cron';
import { CronExpressionParser } from 'cron-parser';
import { Cron } from 'croner';
import * as nodeCron from 'node-cron';

const [days, lines] = process.argv.slice(2).map((list) => list.split(','));
const from = new Date('2026-02-01T12:00:00Z');
const iso = (date) => date.toISOString().slice(0, 10);
const times = (next) => Array.from({ length: 20 }, next).map(iso);
const readers = {
  'cron 3.0pl1': (line, number) => (existsSync(`cron.${number}`) ? readFileSync(`cron.${number}`, 'utf8').trim().split('\n') : []),
  'cron 4.4.0 (npm)': (line) => {
    const time = new CronTime(line, 'UTC');
    let at = from;
    return times(() => (at = time.getNextDateFrom(at, 'UTC').toJSDate()));
  },
  'croner 11.0.1': (line) => new Cron(line, { timezone: 'UTC' }).nextRuns(20, from).map(iso),
  'cron-parser 5.10.6': (line) => {
    const parsed = CronExpressionParser.parse(line, { currentDate: from, tz: 'UTC' });
    return times(() => parsed.next().toDate());
  },
  'node-cron 4.6.0': (line) => {
    const task = nodeCron.createTask(line, () => {}, { timezone: 'UTC' });
    return days.filter((day) => task.match(new Date(`${day}T00:00:00Z`)));
  },
};
const seen = {};
for (const [name, read] of Object.entries(readers)) {
  seen[name] = lines.map((line, number) => {
    const found = new Set(read(line, number));
    return days.map((day) => (found.has(day) ? day.slice(8) : '--')).join(' ');
  });
  console.log(`${name.padEnd(18)}  ${seen[name].join('   ')}`);
}
const either = ['-- 06 -- 13', '05 -- 09 13', '05 -- 09 13'];
const both = ['-- -- -- 13', '-- -- 09 --', '-- -- 09 --'];
assert.deepEqual(seen, {
  'cron 3.0pl1': [either[0], both[1], either[2]],
  'cron 4.4.0 (npm)': either,
  'croner 11.0.1': either,
  'cron-parser 5.10.6': either,
  'node-cron 4.6.0': both,
});
process.exit(0);
JS
echo "days of February 2026, for $(printf '%s   ' "${lines[@]}")"
NODE_EXTRA_CA_CERTS='' node run.mjs "$(IFS=,; echo "${days[*]}")" "$(IFS=,; echo "${lines[*]}")"
# Its generator reads /etc/crontab.
for line in "${lines[@]}"; do echo "$line root true"; done >/etc/crontab
rm /var/spool/cron/crontabs/root
mkdir -p units /run/systemd
python3 tree/lib/systemd/system-generators/systemd-crontab-generator units 2>said || { cat said; exit 1; }
odd=1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31
cat units/*.timer | grep OnCalendar= | sort | tee calendars
[ "$(paste -sd';' calendars)" = "OnCalendar=Fri *-*-13 0:0:00;OnCalendar=Mon *-*-$odd 0:0:00;OnCalendar=Mon *-*-$odd 0:0:00" ]
