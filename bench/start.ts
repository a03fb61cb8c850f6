import type { BuiltImage } from '../test/board/scene.ts';
import { inTurn, numberFrom, type Group } from './bench.ts';
import { deployPod, importIntoPodman, podmanRun, sinceStage, startOf, waitForEnd } from './pods.ts';

/**
 * From the start request until the first output of the app reaches journald, or the reader of
 * podman's output. All variants have the same app, root file system and limits.
 */
export const startGroup: Group = {
  about: 'start of an app: again, at boot, for the first time',
  measure: async (bench) => {
    const scene = await bench.scene();
    const { board } = scene;
    bench.say('deploying the pod, importing its image into podman, writing units by hand');
    const image = await scene.image('busybox', ['/bin/sh', '-c', `echo up; ${waitForEnd}`], {
      name: 'example.com/first',
      app: { isolators: [{ name: 'resource/memory', value: { limit: '64Mi' } }] },
    });
    let pod = await deployPod(scene, { image, round: 0 });
    const limited = board.lacks.controllers === undefined;
    await board.check(handWritten(image, pod.bundle, limited), { timeoutMs: 120_000 });
    const podman = podmanRun(await importIntoPodman(scene, image), limited, '--network=host');
    await numberFrom(board, podman); // The first run makes podman's databases.

    let round = 0;
    const times = await inTurn(bench, {
      again: () => numberFrom(board, startOf(pod.unit)),
      podman: () => numberFrom(board, podman),
      againByHand: () => numberFrom(board, startOf('bench.service')),
      boot: () => numberFrom(board, startOf(pod.unit, pod.mount)),
      bootByHand: () => numberFrom(board, startOf('bench.service', 'run-bench\\x2dimage.mount')),
    });
    // Separate from the others: wherryd is busy for a while after a deployment.
    const deployed = await inTurn(bench, {
      podman: () => numberFrom(board, podman),
      first: async () => {
        await board.check(`systemctl stop '${pod.unit}' '${pod.mount}'; sleep 3`, { timeoutMs: 120_000 });
        pod = await deployPod(scene, { image, round: ++round });
        return await numberFrom(board, sinceStage(pod));
      },
    });
    await board.check('systemctl stop bench.service run-bench*.mount; podman image rm bench >/dev/null', {
      timeoutMs: 120_000,
    });
    const againstPodman = board.name.includes('native') ? 0.4 : 0.5;
    return [
      {
        name: 'start of an activated pod until its first output, s; peer: podman run',
        ours: times.again,
        peer: times.podman,
        bound: againstPodman,
      },
      {
        name: 'the same; peer: hand-written mount units and crun',
        ours: times.again,
        peer: times.againByHand,
        bound: 1.2,
      },
      {
        name: 'the same with the mount of its image, as at boot, s; peer: podman run',
        ours: times.boot,
        peer: times.podman,
        bound: againstPodman,
      },
      {
        name: 'the same; peer: hand-written mount units and crun',
        ours: times.boot,
        peer: times.bootByHand,
        bound: 1.2,
      },
      {
        name: 'first activation until the first output, s; peer: podman run',
        ours: deployed.first,
        peer: deployed.podman,
        bound: 0.8,
      },
    ];
  },
};

/**
 * Units as an expert of systemd would write them: the image, an overlay over it, crun with bundle
 * and limits of the pod. The overlay is mounted and unmounted with the service; its upper layer is
 * in memory.
 */
function handWritten(image: BuiltImage, bundle: string, limited: boolean): string {
  return `set -eu
    mkdir -p /run/bench-layer/upper /run/bench-layer/work /var/lib/bench
    sed 's|"path": "/run/wherry/.*/rootfs"|"path": "/run/bench-root"|' '${bundle}/config.json' >/var/lib/bench/config.json
    grep -q '"/run/bench-root"' /var/lib/bench/config.json
    cd /etc/systemd/system
    cat >'run-bench\\x2dimage.mount' <<-'UNIT'
	[Mount]
	What=/var/lib/wherry/images/${image.id}.erofs
	Where=/run/bench-image
	Type=erofs
	Options=ro,nodev,nosuid
	UNIT
    cat >'run-bench\\x2droot.mount' <<-'UNIT'
	[Unit]
	Requires=run-bench\\x2dimage.mount
	After=run-bench\\x2dimage.mount
	StopWhenUnneeded=yes
	[Mount]
	What=overlay
	Where=/run/bench-root
	Type=overlay
	Options=nodev,lowerdir=/run/bench-image/rootfs,upperdir=/run/bench-layer/upper,workdir=/run/bench-layer/work
	UNIT
    cat >bench.service <<-'UNIT'
	[Unit]
	Requires=run-bench\\x2droot.mount
	After=run-bench\\x2droot.mount
	[Service]
	Type=forking
	GuessMainPID=yes
	RuntimeDirectory=bench
	ExecStart=/usr/bin/crun --root=/run/bench --cgroup-manager=disabled create --bundle /var/lib/bench bench
	ExecStartPost=/usr/bin/crun --root=/run/bench --cgroup-manager=disabled start bench
	KillMode=mixed
	DevicePolicy=closed
	${limited ? 'TasksMax=512\n\tMemoryMax=64M\n\tMemorySwapMax=0' : ''}
	UNIT
    systemctl daemon-reload`;
}
