import type { Board } from '../qemu/index.ts';
import type { Group } from './bench.ts';
import { deployPod } from './pods.ts';
import { median } from './table.ts';

const perSecond = 50;
/** In a round. */
const requests = 500;

/** How long an app waits for its metadata at the highest rate of requests. */
export const metadataGroup: Group = {
  about: `metadata of a pod at ${perSecond} requests a second`,
  measure: async (bench) => {
    const scene = await bench.scene();
    const { board } = scene;
    bench.say('deploying the pod');
    const image = await scene.image('busybox', ['/usr/bin/sleep', '1000000'], { name: 'example.com/asks' });
    const pod = await deployPod(scene, { image, round: 0, metadata: true });
    await board.check(
      `systemd-run --quiet --unit=bench-http -p NetworkNamespacePath=/proc/$(systemctl show -P MainPID '${pod.unit}')/ns/net \\
        node -e 'require("node:http").createServer((_, answer) => answer.end("words")).listen(8000)'`,
    );
    const rounds: Round[] = [];
    for (let round = 1; round <= bench.rounds; round++) {
      const measured = await ask(board, pod.unit);
      bench.say(`  round ${round}: ${JSON.stringify(measured)}`);
      rounds.push(measured);
    }
    await board.check('systemctl stop bench-http');
    const middle = (kind: keyof Round): number => median(rounds.map((round) => round[kind]));
    const often = `metadata at ${perSecond} requests a second`;
    return [
      // Neither program runs before the first request of the first round.
      { name: 'metadata, the first request, ms', ours: rounds[0]?.first ?? Number.NaN },
      {
        name: `${often}: 50 of 100 take, ms; peer: a bare Node server`,
        ours: middle('p50'),
        peer: middle('peer50'),
      },
      {
        name: `${often}: 99 of 100 take, ms`,
        ours: middle('p99'),
        bound: board.name.includes('native') ? 10 : 100,
      },
      { name: 'the same; peer: a bare Node server', ours: middle('p99'), peer: middle('peer99') },
      { name: `${often}: processor of a request, the service, ms`, ours: middle('service') },
      { name: `${often}: processor of a request, its proxy, ms`, ours: middle('proxy') },
    ];
  },
};

/**
 * Milliseconds from the due time of a request to its answer; `service`, `proxy` and `client`:
 * processor time of one.
 */
interface Round {
  readonly first: number;
  readonly p50: number;
  readonly p99: number;
  readonly service: number;
  readonly proxy: number;
  readonly client: number;
  readonly peer50: number;
  readonly peer99: number;
}

/** The percentile of sorted numbers. */
function at(sorted: readonly number[], percent: number): number {
  return sorted[Math.ceil((sorted.length * percent) / 100) - 1] ?? Number.NaN;
}

/**
 * Sends requests from the network of the pod, each over a new connection like `curl`, and does not
 * wait for earlier answers. So a slow answer counts for the requests that it delays. The others
 * start after the answer to the first one.
 */
async function ask(board: Board, unit: string): Promise<Round> {
  const output = await board.check(
    `set -eu -o pipefail
    slice=/sys/fs/cgroup/system.slice
    spent() {
      for unit in $slice/wherry-metadata.service $slice/system-wherry*metadata*.slice/*.service; do
        awk '/^usage_usec/ { print $2 / 1000 }' $unit/cpu.stat
      done
    }
    pid=$(systemctl show -P MainPID '${unit}')
    url=$(tr '\\0' '\\n' </proc/$pid/environ | sed -n 's/^AC_METADATA_URL=//p')/acMetadata/v1/pod/uuid
    script=$(cat)
    ask() { nsenter -n -t $pid perl -e "$script" "$@"; }
    ask "$url" 1
    spent
    ask "$url" ${requests}
    spent
    ask http://127.0.0.1:8000/ ${requests}`,
    { stdin: asker, timeoutMs: 300_000 },
  );
  const [first = [], , before, beforeProxy, ours = [], client, after, afterProxy, peer = []] = output
    .trim()
    .split('\n')
    .map((line) => [JSON.parse(line) as number | number[]].flat().sort((a, b) => a - b));
  const spent = ([from = 0]: readonly number[] = [], [to = 0]: readonly number[] = []): number =>
    (to - from) / requests;
  return {
    ...{ first: at(first, 100), p50: at(ours, 50), p99: at(ours, 99) },
    service: spent(before, after),
    proxy: spent(beforeProxy, afterProxy),
    ...{ client: client?.[0] ?? Number.NaN, peer50: at(peer, 50), peer99: at(peer, 99) },
  };
}

/**
 * In Perl, which every board has: a client in Node takes more of an emulated processor than the
 * server that it measures.
 */
const asker = String.raw`
use strict;
use warnings;
use POSIX ();
use Socket;

my ($address, $count) = @ARGV;
my ($host, $port, $path) = $address =~ m{^http://([^:/]+):(\d+)(/.*)$} or die "no address: $address";
my $server = pack_sockaddr_in($port, inet_aton($host));
my $request = "GET $path HTTP/1.1\r\nHost: pod\r\nMetadata-Flavor: AppContainer\r\nConnection: close\r\n\r\n";
# clock_gettime(CLOCK_MONOTONIC): Perl's base has no module for it.
my $call = { aarch64 => 113, armv7l => 263, x86_64 => 228 }->{(POSIX::uname())[4]};
sub now {
  my $time = pack 'l!l!', 0, 0;
  syscall($call, 1, $time) == 0 or die "clock_gettime: $!";
  my ($seconds, $nanoseconds) = unpack 'l!l!', $time;
  return $seconds + $nanoseconds / 1e9;
}

my $start = now();
my ($sent, $waiting, %socket, %due, %answer, @ms) = (0, '');
while (@ms < $count) {
  my $next = $start + $sent / ${perSecond};
  my $wait = $sent == $count ? undef : $next > now() ? $next - now() : 0;
  select my $ready = $waiting, undef, undef, $wait;
  for my $number (grep { vec $ready, $_, 1 } keys %socket) {
    my $read = sysread $socket{$number}, $answer{$number}, 65536, length $answer{$number};
    die "reading: $!" unless defined $read;
    next if $read > 0;
    die $answer{$number} unless $answer{$number} =~ m{^HTTP/1\.1 200 };
    push @ms, 1000 * (now() - $due{$number});
    vec($waiting, $number, 1) = 0;
    close delete $socket{$number};
  }
  next if $sent == $count or now() < $next;
  $sent++;
  socket my $socket, PF_INET, SOCK_STREAM, 0 or die "socket: $!";
  connect $socket, $server or die "connecting: $!";
  syswrite $socket, $request;
  my $number = fileno $socket;
  vec($waiting, $number, 1) = 1;
  ($socket{$number}, $due{$number}, $answer{$number}) = ($socket, $next, '');
}
my ($user, $system) = times;
print '[', join(',', map { sprintf '%.3f', $_ } @ms), "]\n";
printf "%.3f\n", 1000 * ($user + $system) / $count;
`;
