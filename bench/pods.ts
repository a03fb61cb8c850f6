import { podUuid, type DesiredState } from '../src/wire/trust/index.ts';
import type { BuiltImage, Scene } from '../test/board/scene.ts';

/** A shell command for an app that ends at its stop signal. */
export const waitForEnd = 'trap "exit 0" TERM; sleep 1000000 & wait';

/** A pod that a benchmark deployed. */
export interface Pod {
  readonly version: number;
  readonly unit: string;
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
}

/** Deploys a pod named `first` and waits until it is committed. */
export async function deployPod(scene: Scene, { image, round, hostPort, metadata }: PodWish): Promise<Pod> {
  const annotations = [
    { name: 'example.com/round', value: String(round) },
    ...(hostPort === undefined && metadata === undefined
      ? []
      : [{ name: 'wherry/network', value: 'bridge' }]),
    ...(metadata === undefined ? [] : [{ name: 'wherry/metadata', value: 'true' }]),
  ];
  const ports = hostPort === undefined ? [] : [{ name: 'http', hostPort }];
  const desired: DesiredState = scene.desired([{ name: 'first', image, manifest: { annotations, ports } }], {
    policy: {
      probationSeconds: 1,
      reconnectWindowSeconds: 1,
      limits: scene.board.lacks.controllers === undefined ? 'require' : 'best-effort',
    },
  });
  const event = await scene.deploy(desired);
  if (event.outcome !== 'committed') throw new Error(`the pod was not deployed: ${JSON.stringify(event)}`);
  const manifest = desired.pods[0]?.manifest ?? new Uint8Array();
  const uuid = podUuid('first', manifest);
  return {
    version: desired.version,
    unit: `wherry-pod-first.${uuid.slice(0, 8)}-main.service`,
    network: `wherry-network-first.${uuid.slice(0, 8)}.service`,
    mount: `run-wherry-images-${image.id.replaceAll('-', '\\x2d')}.mount`,
    bundle: `/var/lib/wherry/pods/${uuid}/apps/main`,
  };
}

/** Stops a service, and units that it needs, waits until the board is idle, and starts it. */
export function startOf(unit: string, ...needs: string[]): string {
  const units = [unit, ...needs].map((name) => `'${name}'`).join(' ');
  return `systemctl stop ${units}
    sleep 3
    start=$(now)
    systemctl start '${unit}'
    ${firstOutput(unit)}
    since "$start" "$said"`;
}

/** Waits for the app's output after `$start`. */
export function firstOutput(unit: string): string {
  return `until said=$(journalctl -b -q -o json --output-fields=MESSAGE -n 1 _SYSTEMD_UNIT='${unit}' _TRANSPORT=stdout | at) &&
      awk -v a="$start" -v b="$said" 'BEGIN { exit !(b + 0 > a + 0) }'; do sleep 0.2; done`;
}

/** The time from wherryd's log entry that it compiles the pod, whose image it has, to output. */
export function sinceStage({ unit, version }: Pod): string {
  return `stage=$(journalctl -b -q -o json --output-fields=MESSAGE _SYSTEMD_UNIT=wherryd.service \\
      WHERRY_VERSION=${version} WHERRY_PHASE=stage | head -n 1)
    start=$(at <<<"$stage")
    ${firstOutput(unit)}
    since "$start" "$said"`;
}

export async function importIntoPodman(scene: Scene, image: BuiltImage): Promise<string> {
  const rootfs = `/run/wherry/images/${image.id}/rootfs`;
  await scene.board.check(`tar -C '${rootfs}' -c . | podman import --quiet - bench`, { timeoutMs: 180_000 });
  return 'bench';
}

/** @param network options of `podman run` */
export function podmanRun(image: string, limited: boolean, network: string): string {
  const limits = limited ? '--memory=64m --pids-limit=512' : '--cgroups=disabled --pids-limit=-1';
  return `sleep 3
    start=$(now)
    said=$(podman run --rm ${network} ${limits} ${image} /bin/sh -c 'echo up' | { read -r _; now; })
    since "$start" "$said"`;
}
