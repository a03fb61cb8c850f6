import { inTurn, numberFrom, type Group } from './bench.ts';
import {
  deployPod,
  importIntoPodman,
  podmanRun,
  sinceStart,
  startOf,
  startOfPair,
  waitForEnd,
} from './pods.ts';

/**
 * From the start request until the first output of an app in a bridge network, with a port of the
 * host. Both wherry and podman attach the network at each start and detach it at each end.
 */
export const networkGroup: Group = {
  about: 'start of an app in a bridge network with a port of the host, and of two apps',
  measure: async (bench) => {
    const scene = await bench.scene();
    const { board } = scene;
    bench.say('deploying the pod, importing its image into podman');
    const image = await scene.image('busybox', ['/bin/sh', '-c', `echo up; ${waitForEnd}`], {
      name: 'example.com/network',
      app: { ports: [{ name: 'http', protocol: 'tcp', port: 80 }] },
    });
    const pod = await deployPod(scene, { image, round: 0, hostPort: 8080 });
    const limited = board.lacks.controllers === undefined;
    const podman = podmanRun(await importIntoPodman(scene, image), limited, '--publish=8081:80');
    await numberFrom(board, podman); // The first run makes podman's databases and its network.
    const times = await inTurn(bench, {
      ours: () => numberFrom(board, startOf(pod.unit, pod.network)),
      podman: () => numberFrom(board, podman),
    });
    bench.say('deploying a pod of two apps, making one of podman');
    const pair = await deployPod(scene, { image, round: 1, pair: true });
    await board.check(
      `podman pod create --name=pair
       for app in one two; do
         podman create --pod=pair --name="pair-$app" --log-driver=journald bench /bin/sh -c 'echo up; ${waitForEnd}'
       done`,
      { timeoutMs: 120_000 },
    );
    const pairs = await inTurn(bench, {
      ours: () => numberFrom(board, startOfPair([pair.unit, pair.second], [pair.network])),
      podman: () => numberFrom(board, startOfPodmanPod),
    });
    await board.check('podman pod rm --force --time 1 pair; podman image rm bench >/dev/null', {
      timeoutMs: 120_000,
    });
    return [
      {
        name: 'start of a pod in a bridge network with a host port, s; peer: podman run -p',
        ours: times.ours,
        peer: times.podman,
        bound: 0.6,
      },
      {
        name: 'start of a pod of two apps in a bridge network, s; peer: podman pod start, two containers',
        ours: pairs.ours,
        peer: pairs.podman,
        bound: 0.5,
      },
    ];
  },
};

/** podman creates the pod and its containers before, and stops them with SIGTERM. */
const startOfPodmanPod = `podman pod stop --time 10 pair >/dev/null
    sleep 3
    start=$(now)
    podman pod start pair >/dev/null
    ${sinceStart(['CONTAINER_NAME=pair-one', 'CONTAINER_NAME=pair-two'])}`;
