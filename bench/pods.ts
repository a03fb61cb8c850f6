import { podUuid, type DesiredState } from '../src/wire/trust/index.ts';
import type { BuiltImage, Scene } from '../test/board/scene.ts';

/** A shell command for an app that ends at its stop signal. */
export const waitForEnd = 'trap "exit 0" TERM; sleep 1000000 & wait';

/** A pod that a benchmark deployed. */
export interface Pod {
  readonly version: number;
  readonly unit: string;
  /** The unit of its second app, which exists if it was wished. */
  readonly second: string;
  readonly mount: string;
  /** The unit of its network, which exists if it has one of its own. */
  readonly network: string;
  readonly bundle: string;
}

/** The parameters of a benchmark's pod. */
export interface PodWish {
  readonly image: BuiltImage;
  /** A different number in the manifest makes it a new pod. */
  readonly round: number;
  /**
   * In the default bridge, with this port of the host forwarded to the port `http` of the image.
   */
  readonly hostPort?: number;
  /** In the default bridge, with the metadata service. */
  readonly metadata?: true;
  /** In the default bridge, with a second app of the same image. */
  readonly pair?: true;
}

/** Deploys a pod named `first` and waits until it is committed. */
export async function deployPod(
  scene: Scene,
  { image, round, hostPort, metadata, pair }: PodWish,
): Promise<Pod> {
  const annotations = [
    { name: 'example.com/round', value: String(round) },
    ...(hostPort === undefined && metadata === undefined && pair === undefined
      ? []
      : [{ name: 'wherry/network', value: 'bridge' }]),
    ...(metadata === undefined ? [] : [{ name: 'wherry/metadata', value: 'true' }]),
  ];
  const ports = hostPort === undefined ? [] : [{ name: 'http', hostPort }];
  const app = { image: { id: image.id, name: image.name } };
  const apps = pair === undefined ? {} : { apps: ['main', 'second'].map((name) => ({ name, ...app })) };
  const desired: DesiredState = scene.desired(
    [{ name: 'first', image, manifest: { annotations, ports, ...apps } }],
    {
      policy: {
        probationSeconds: 1,
        reconnectWindowSeconds: 1,
        limits: scene.board.lacks.controllers === undefined ? 'require' : 'best-effort',
      },
    },
  );
  const event = await scene.deploy(desired);
  if (event.outcome !== 'committed') throw new Error(`the pod was not deployed: ${JSON.stringify(event)}`);
  const manifest = desired.pods[0]?.manifest ?? new Uint8Array();
  const uuid = podUuid('first', manifest);
  return {
    version: desired.version,
    unit: `wherry-pod-first.${uuid.slice(0, 8)}-main.service`,
    second: `wherry-pod-first.${uuid.slice(0, 8)}-second.service`,
    network: `wherry-network-first.${uuid.slice(0, 8)}.service`,
    mount: `run-wherry-images-${image.id.replaceAll('-', '\\x2d')}.mount`,
    bundle: `/var/lib/wherry/pods/${uuid}/apps/main`,
  };
}

/** Stops a service, and units that it needs, waits until the board is idle, and starts it. */
export function startOf(unit: string, ...needs: string[]): string {
  return startOfPair([unit], needs);
}

/** Like {@link startOf}, of several services until the last of them has sent its first output. */
export function startOfPair(units: readonly string[], needs: readonly string[]): string {
  const quoted = (names: readonly string[]): string => names.map((name) => `'${name}'`).join(' ');
  // systemd limits how often the holder of a pod starts.
  return `systemctl stop ${quoted([...units, ...needs])}
    systemctl reset-failed 'wherry-holder-*'
    sleep 3
    start=$(now)
    systemctl start ${quoted(units)}
    ${sinceStart(units.map((unit) => `_SYSTEMD_UNIT='${unit}' _TRANSPORT=stdout`))}`;
}

/** Waits for output after `$start` that matches each, and prints when the last of them came. */
export function sinceStart(matches: readonly string[]): string {
  return `last=$start
    ${matches.map((match) => `${firstOutput(match)}; last=$(printf '%s\\n' "$last" "$said" | sort -n | tail -n 1)`).join('\n    ')}
    since "$start" "$last"`;
}

/** Waits for a message in the journal after `$start`, by its fields. */
function firstOutput(match: string): string {
  return `until said=$(journalctl -b -q -o json --output-fields=MESSAGE -n 1 ${match} | at) &&
      awk -v a="$start" -v b="$said" 'BEGIN { exit !(b + 0 > a + 0) }'; do sleep 0.2; done`;
}

/** The time from wherryd's log entry that it compiles the pod, whose image it has, to output. */
export function sinceStage({ unit, version }: Pod): string {
  return `stage=$(journalctl -b -q -o json --output-fields=MESSAGE _SYSTEMD_UNIT=wherryd.service \\
      WHERRY_VERSION=${version} WHERRY_PHASE=stage | head -n 1)
    start=$(at <<<"$stage")
    ${sinceStart([`_SYSTEMD_UNIT='${unit}' _TRANSPORT=stdout`])}`;
}

export async function importIntoPodman(scene: Scene, image: BuiltImage): Promise<string> {
  const rootfs = `/run/wherry/images/${image.id}/rootfs`;
  await scene.board.check(`tar -C '${rootfs}' -c . | podman import --quiet - bench`, { timeoutMs: 180_000 });
  // By default podman limits the number of processes, which fails on a board without controllers.
  // Each container has a cgroup there too, as each app has.
  if (scene.board.lacks.controllers !== undefined) {
    await scene.board.check(`mkdir -p /etc/containers/containers.conf.d
      printf '[containers]\\npids_limit = 0\\n' >/etc/containers/containers.conf.d/bench.conf`);
  }
  return 'bench';
}

/** @param network options of `podman run` */
export function podmanRun(image: string, limited: boolean, network: string): string {
  const limits = limited ? '--memory=64m --pids-limit=512' : '';
  return `sleep 3
    start=$(now)
    said=$(podman run --rm ${network} ${limits} ${image} /bin/sh -c 'echo up' | { read -r _; now; })
    since "$start" "$said"`;
}
